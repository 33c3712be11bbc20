"""Commands that read what is there: processor seconds of the whole process, imports included."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "demo"


def children_seconds() -> float:
    """Return the processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(autouse=True)
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(shared_cache))


def call(*arguments: object) -> None:
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the reference."""
    return Path(shutil.copytree(REFERENCE, tmp_path_factory.mktemp("commands") / "run"))


@pytest.mark.benchmark(timer=children_seconds)
@pytest.mark.parametrize("command", ["status RUN", "tables RUN", "compare RUN RUN"])
def test_reading_240_cells(timed, run: Path, command: str):  # the first round, not counted, fills the cache of tables
    timed(call, *(run if word == "RUN" else word for word in command.split()), rounds=3)


@pytest.mark.benchmark(timer=children_seconds)
def test_a_run_in_which_every_cell_is_kept(timed, finished, tiny: Path, phantom: Path):
    folder = finished()
    timed(call, "run", tiny, "--data", phantom, "--out", folder, rounds=3)
