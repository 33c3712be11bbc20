"""Pre-trained stages of one cache, for another: those of the task's source sets, whole, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.cache import Cache, find_fault
from harness.errors import CellError
from harness.execution.stage_artefacts import keep_stage, stages_for
from harness.plugin_api.schedule import Schedule
from harness.workers.messages import FitTask, ImageRows, LabeledRows, ModelJob, SourceRows

KEY = "0123456789abcdef"


def task_with_source(fingerprint: str) -> FitTask:
    rows = ImageRows(Path("pixels.npy"), np.arange(2))
    labeled = LabeledRows(rows, np.arange(2))
    sources = {"lung": SourceRows(("a", "b"), fingerprint, "pixels", labeled, labeled, {})}
    setting = ModelJob({}, ("a", "b"), 8, "cpu", 1, Schedule(), sources, Path("cache"), "code", "pixels", "eager")
    return FitTask(setting, 0, Path("cache"), labeled, labeled, rows, Path("saved"))


def stage_of(fingerprint: str) -> dict[str, bytes]:
    return {"stage.json": json.dumps({"source_fingerprint": fingerprint}).encode(), "weights.safetensors": b"weights"}


def test_a_stage_that_came_is_found_for_its_source_set_alone(tmp_path: Path) -> None:
    keep_stage(Cache(tmp_path, print), KEY, stage_of("of lung"))
    found = stages_for(task_with_source("of lung"), tmp_path)
    assert found == {KEY: tmp_path / "stages" / KEY}
    assert find_fault(found[KEY]) is None
    assert stages_for(task_with_source("of another"), tmp_path) == {}
    assert stages_for(task_with_source("of lung"), tmp_path, without={KEY}) == {}


def test_a_stage_that_is_being_written_is_none(tmp_path: Path) -> None:
    building = tmp_path / "stages" / f"{KEY}.x1y2"
    building.mkdir(parents=True)
    building.joinpath("stage.json").write_bytes(stage_of("of lung")["stage.json"])
    assert stages_for(task_with_source("of lung"), tmp_path) == {}


@pytest.mark.parametrize(
    ("key", "files"),
    [("../pixels/x", stage_of("of lung")), (KEY, {"stage.json": b"{}"}), (KEY, {**stage_of("of lung"), "../x": b""})],
)
def test_what_is_no_stage_is_refused(tmp_path: Path, key: str, files: dict[str, bytes]) -> None:
    with pytest.raises(CellError, match="no pre-trained stage"):
        keep_stage(Cache(tmp_path, print), key, files)
    assert not list(tmp_path.iterdir())
