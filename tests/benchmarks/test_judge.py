"""A judge that lets regressions pass, or cries at noise, is of no use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import judge as judging
import pytest
from click.testing import CliRunner, Result
from judge import Timing, judge, main

TOLERANCE = 0.5
SAVED = {"test_decode": 0.5, "test_split": 2.0}


def report(calibration: float = 0.1, **seconds: float) -> dict[str, Any]:
    """What pytest-benchmark writes, as far as it is read; the mean is not."""
    unit = {"calibration_seconds": calibration}
    timings = [{"name": name, "stats": {"min": s, "mean": 9 * s}, "extra_info": unit} for name, s in seconds.items()]
    return {"benchmarks": timings}


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Judge a report from the command line against ``SAVED``."""
    monkeypatch.setattr(judging, "BASELINE", tmp_path / "baseline.json")
    (tmp_path / "baseline.json").write_text(json.dumps({"tolerance": TOLERANCE, "ratios": SAVED}))

    def run(found: dict[str, Any], *options: str) -> Result:
        (tmp_path / "new.json").write_text(json.dumps(found))
        return CliRunner().invoke(main, [str(tmp_path / "new.json"), *options])

    return run


def verdicts(**seconds: float) -> dict[str, str]:
    timings = {name: Timing(value, 1.0) for name, value in seconds.items()}
    return {found.name: found.verdict for found in judge(timings, SAVED, TOLERANCE)}


def test_a_regression_is_found(call):
    result = call(report(test_decode=0.05, test_split=0.31))
    assert result.exit_code == 1
    assert "| test_split | 310.00 | 3.100 | 2.000 | +55% | SLOWER |" in result.output
    assert "| test_decode | 50.00 | 0.500 | 0.500 | +0% | ok |" in result.output


@pytest.mark.parametrize("machine", [0.1, 1, 10])
def test_a_slower_machine_is_no_regression(call, machine: float):
    result = call(report(machine, test_decode=0.5 * machine, test_split=2 * machine))
    assert result.exit_code == 0


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.45])
def test_noise_within_the_tolerance_is_none(factor: float):
    assert verdicts(test_decode=0.5 * factor, test_split=2 * factor) == dict.fromkeys(SAVED, "ok")


def test_a_gain_is_told():
    assert verdicts(test_decode=0.5, test_split=1.2) == {"test_decode": "ok", "test_split": "faster"}


def test_a_benchmark_that_did_not_run_is_an_error(call):
    result = call(report(test_decode=0.05))
    assert result.exit_code == 1
    assert "| test_split | - | - | 2.000 | - | MISSING |" in result.output


def test_without_the_calibration_nothing_is_judged(call):
    found = report(test_decode=0.05, test_split=0.2)
    found["benchmarks"][0]["extra_info"] = {}
    result = call(found)
    assert result.exit_code == 1
    assert "test_decode was timed without calibration" in result.output


def test_a_new_benchmark_is_told_and_saved_on_request(call):
    found = report(test_decode=0.05, test_split=0.2, test_more=0.01)
    assert "| test_more | 10.00 | 0.100 | - | - | new |" in call(found).output
    assert call(found, "--save").exit_code == 0
    baseline = json.loads(judging.BASELINE.read_text())
    assert baseline == {"tolerance": TOLERANCE, "ratios": {**SAVED, "test_more": 0.1}}
