"""A stage for runs that are disturbed, an undisturbed run to hold them against, and how much is to be done."""

from __future__ import annotations

import time

import pytest
from runs import Stage, results


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
    """What a run comes to that nobody disturbs, and its seconds."""
    began = time.perf_counter()
    code, told = stage.run(stage.folder / "undisturbed", "--jobs", 2)
    assert code == 0, told
    return results(stage.folder / "undisturbed"), time.perf_counter() - began
