"""The record of a device: what is lost by a part that fails, hangs or is not begun, and the command on the CPU."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass

import psutil
import pytest
from apart import run_apart
from kept_record import Record, Sources, fill
from machine_parts import ROOT
from parts import PARTS, Part

MACHINE = {"device": "a device", "size": "full"}
CODE, OTHER_CODE = Sources("1f", "abc"), Sources("2e", "def")
WRITE = "import pathlib, subprocess, sys, time; rows = pathlib.Path(sys.argv[1]).open('w', buffering=1); "
ROW = "rows.write('{\"speed\": 1.5}\\n'); "
SLEEPER = "child = subprocess.Popen(['sleep', '600']); rows.write('{\"child\": %d}\\n' % child.pid); "
PROGRAMS = {
    "good": WRITE + ROW,
    "bad": WRITE + ROW + "rows.write('{\"spe'); sys.exit('out of | luck')",
    "hanging": WRITE + SLEEPER + "time.sleep(600)",
    "elsewhere": WRITE + "rows.write('\"no such device\"\\n')",
    "long": WRITE + ROW,
}


def part(name, seconds=1):
    return Part(f"Part {name}", seconds, "It shows a speed.", "It shows no accuracy.", lambda _setting: iter(()))


FAKES = {**{name: part(name) for name in PROGRAMS}, "long": part("long", 1000)}


@dataclass
class Call:
    """One call of the command on parts that are small programs."""

    folder: object
    left: float
    machine: dict

    def fill(self):
        self.began = []
        record = Record.continued(self.folder / "out", self.machine, CODE)
        fill(record, FAKES, list(FAKES), self.run, lambda: self.left, lambda _line: None)
        return record

    def run(self, name, seconds):
        self.began.append(name)
        rows, log = self.folder / f"{name}.rows", self.folder / f"{name}.log"
        return run_apart([sys.executable, "-c", PROGRAMS[name], str(rows)], rows, log, seconds)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder with what one call has left, whose time does not do for the long part."""
    folder = tmp_path_factory.mktemp("gpu")
    return folder, Call(folder, 900, MACHINE).fill()


def test_a_part_that_fails_or_hangs_costs_itself_alone(first):
    _, record = first
    states = {name: entry.outcome.state for name, entry in record.entries.items()}
    assert states == {
        "good": "done",
        "bad": "failed",
        "hanging": "timed out",
        "elsewhere": "not reached",
        "long": "no time left",
    }
    assert record.entries["bad"].outcome.rows == ({"speed": 1.5},)
    assert record.entries["bad"].outcome.reason == "out of | luck (ended with 1)"


def test_what_a_part_has_started_ends_with_it(first):
    _, record = first
    (row,) = record.entries["hanging"].outcome.rows
    assert not psutil.pid_exists(row["child"]) or psutil.Process(row["child"]).status() == psutil.STATUS_ZOMBIE


def test_the_page_says_what_was_not_reached_and_why(first):
    folder, _ = first
    page = (folder / "out/record.md").read_text()
    missing = page.partition("## Not reached, or with other code")[2].partition("##")[0]
    assert "1 of 5 parts are finished, with commit abc (sources 1f)." in page
    assert "Part good" not in missing
    assert [f"| Part {name} " in missing for name in ("bad", "hanging", "elsewhere", "long")] == [True] * 4
    assert "failed: out of \\| luck" in missing
    assert "it takes about 17 min, and there were 900 s" in missing
    assert "Not shown: It shows no accuracy." in page


def test_the_next_call_begins_with_what_was_never_tried_and_repeats_nothing_finished(first):
    folder, before = first
    call = Call(folder, 2000, MACHINE)
    after = call.fill()
    assert call.began == ["long", "bad", "hanging", "elsewhere"]
    assert after.entries["good"] == before.entries["good"]
    assert after.is_done("long")


def test_no_time_does_not_replace_what_was_found_before(first):
    folder, _ = first
    call = Call(folder, 0, MACHINE)
    assert call.fill().entries["bad"].outcome.state == "failed"
    assert call.began == []


def test_another_machine_begins_anew(first):
    folder, _ = first
    assert Record.continued(folder / "out", {**MACHINE, "device": "another"}, CODE).entries == {}


def test_what_other_code_has_found_is_shown_until_it_is_measured_again(first):
    folder, before = first
    record = Record.continued(folder / "out", MACHINE, OTHER_CODE)
    assert record.entries["good"] == before.entries["good"]
    assert not record.is_done("good")
    page = record.to_markdown(FAKES)
    assert re.search(r"\| Part good +\| done with other code, commit abc \(sources 1f\)", page)
    assert "with commit abc (sources 1f)." in page.partition("## Part good")[2]


def make_gpu(folder, parts):
    """Call ``make gpu`` on the CPU, as a shell of one's own would."""
    given = {"DEVICE": "cpu", "PARTS": ",".join(parts), "OUT": folder / "out", "SCRATCH": folder / "scratch"}
    command = ["make", "gpu", f"PYTHON={sys.executable}", *(f"{name}={value}" for name, value in given.items())]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def entries(folder):
    return json.loads((folder / "out/record.json").read_text())["parts"]


@pytest.mark.long
def test_the_command_measures_a_part_once(tmp_path):
    done = make_gpu(tmp_path, ["prediction"])
    assert done.returncode == 0, done.stderr
    (found,) = entries(tmp_path).values()
    assert [row["images a step"] for row in found["rows"]] == [2, 2, 4, 4]
    assert all(row["images/s"] > 0 for row in found["rows"])
    assert "says that the command works, and nothing of any speed" in (tmp_path / "out/record.md").read_text()
    assert "1 of 13 parts are finished already" in make_gpu(tmp_path, ["prediction"]).stderr
    assert entries(tmp_path) == {"prediction": found}


@pytest.mark.long
def test_every_part_that_compiles_nothing_runs_on_the_cpu(tmp_path):
    chosen = [name for name in PARTS if "compiled" not in name]
    done = make_gpu(tmp_path, chosen)
    assert done.returncode == 0, done.stderr
    found = entries(tmp_path)
    assert {name: entry["state"] for name, entry in found.items()} == {
        **dict.fromkeys(chosen, "done"),
        "tests": "not reached",
    }
    assert found["tests"]["reason"].endswith("no CUDA device")
    assert all(row["max difference"] == 0 for row in found["losses"]["rows"])
    assert any("frozen prefix cached" in row["executed"] for row in found["losses"]["rows"])
