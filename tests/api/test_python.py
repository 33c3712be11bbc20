"""The Python interface: the page that documents it is run, and what it returns is what the command line prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import harness as package
from harness.errors import ConfigError
from harness.planning.observer import Observer
from harness.reporting.run_tables import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.mark.long
def test_the_example_of_the_page_runs(tmp_path, shared_cache, tiny, phantom):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    body = "".join(f"    {line}\n" for line in code.splitlines())
    (tmp_path / "example.py").write_text(f"if __name__ == '__main__':\n{body}")
    small = {**yaml.safe_load(tiny.read_text()), "data": {"folder": str(phantom)}}
    (tmp_path / "demo").write_text(yaml.safe_dump(small))  # a file goes before a shipped config of the same name
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env={"HARNESS_CACHE": str(shared_cache), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "{'done': 2}" in done.stdout


@pytest.fixture(scope="module")
def finished_run(finished):
    return finished()


def test_every_name_of_the_page_is_there_and_every_public_one_is_on_it():
    calls = re.findall(r"^\| `(\w+)\(", PAGE.read_text(), re.MULTILINE)
    assert all(callable(getattr(package, name)) for name in calls)
    lower = {name for name in package.__all__ if name.islower()} - {
        "compiled",
        "hookimpl",
        "mean_colour",
        "sharpness",
        "white_point",
    }
    assert lower == set(calls)


def test_tables_are_those_that_are_printed(finished_run, harness):
    records = package.tables(finished_run)["3"].records
    printed = harness("tables", finished_run, "--table", 3, "--format", "json")[1]
    assert json.loads(printed)["records"] == json.loads(json.dumps(records, default=str))


def test_a_run_that_is_finished_keeps_its_cells(finished_run, tiny, phantom, shared_cache, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(shared_cache))
    noted = []

    class Noting(Observer):
        def note(self, message):
            noted.append(message)

    result = package.run(tiny, Noting(), data=phantom, out=finished_run)
    (outcome,) = result.outcomes.values()
    assert (outcome.computed, outcome.kept, result.failures) == (0, 2, {})
    assert list(result.tables) == list(TABLES)
    assert noted == []
    (estimate,) = package.estimate(tiny, data=phantom, out=finished_run).values()
    assert (estimate.cells, estimate.kept) == (0, 2)
    assert package.status(finished_run).counts == {"done": 2}
    assert set(package.read_run(finished_run).predictions["side"]) == {"validation", "test"}


def test_what_cannot_be_done_is_raised(tiny):
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        package.run(tiny, overrides=["schedule.epoch=3"])


def test_a_division_for_each_run(phantom, tiny):
    both = "protocols=[accession-5fold,paper-random]"
    divisions = package.splits(tiny, phantom, [both, "allow_leak=true"])
    assert [division.protocol.name for division in divisions] == ["accession-5fold", "paper-random"]
    assert divisions[0].splits.columns.tolist() == ["image", "fold", "seed", "side"]
