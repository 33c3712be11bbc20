"""A stage for runs that are disturbed, an undisturbed run to hold them against, and how much is to be done."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from runs import Stage, read_until, results


@dataclass(frozen=True)
class Undisturbed:
    results: dict[str, bytes]
    seconds: float
    working_seconds: float


@pytest.fixture(scope="session")
def everything(request):
    """Whether all of the suite is wanted, not only what is cheap."""
    return request.config.getoption("--faults") == "all"


@pytest.fixture
def only_with_everything(everything):
    if not everything:
        pytest.skip("done by 'make faults' (--faults=all)")


@pytest.fixture(scope="session")
def stage(tmp_path_factory, phantom):
    return Stage(tmp_path_factory.mktemp("faults"), phantom)


@pytest.fixture(scope="session")
def undisturbed(stage):
    """What a run comes to that nobody disturbs, its seconds, and those from its first cell on."""
    began = time.perf_counter()
    process = stage.start(stage.folder / "undisturbed", "--jobs", 2)
    read_until(process, "cells to compute")
    working = time.perf_counter()
    _, told = process.communicate()
    assert process.returncode == 0, told
    ended = time.perf_counter()
    return Undisturbed(results(stage.folder / "undisturbed"), ended - began, ended - working)
