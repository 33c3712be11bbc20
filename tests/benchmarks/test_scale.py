"""The benchmark of large runs makes a run that every command takes for one, and measures it."""

from __future__ import annotations

import json

import pytest
import scale


def test_a_small_run_is_made_and_kept(tmp_path, monkeypatch, harness):
    said = {}

    def here(name, command, _cache):
        """Do in this process what takes one of its own elsewhere, which would import everything six times."""
        how, what, *rest = command
        if how == "-c":
            getattr(scale, rest[0])(*map(str, rest[1:]))
        else:
            code, said[name], _ = harness(*rest)
            assert (how, what, code) == ("-m", "harness", 0)
        return scale.Step(name, 1.0, 2.0, 3.0)

    monkeypatch.setattr(scale, "timed", here)
    few = ["--cells", "20", "--models", "1", "--groups", "14", "--images", "1", "--out", str(tmp_path)]
    scale.main.main(few, standalone_mode=False)
    assert "20 done" in said["`harness status`"]
    assert "white-point" in said["`harness tables`"]
    assert len(json.loads((tmp_path / "scale.json").read_text())["results"]) == 6
    assert "`harness tables`" in (tmp_path / "scale.md").read_text()


def test_a_command_is_measured_by_itself(tmp_path):
    step = scale.timed("half a second", ["-c", "import time; time.sleep(0.5); bytearray(200_000_000)"], tmp_path)
    assert step.wall_seconds > 0.5 > step.processor_seconds > 0
    assert 200 < step.peak_mb < 300


def test_a_failure_is_no_figure(tmp_path):
    with pytest.raises(SystemExit, match="nothing: failed"):
        scale.timed("nothing", ["-c", "raise SystemExit(3)"], tmp_path)
