"""The comparison with a good student's script, on generated images; how fast anything is, no test asserts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import compare_student
import good_student
import pytest

TINY = (
    "pixels.size=32",
    "schedule.epochs=1",
    "schedule.batch_size=4",
    "models.densenet.options={growth_rate: 4, block_config: [1, 1]}",
)


def test_the_script_tests_every_image_once(harness, phantom, tmp_path, monkeypatch, capsys):
    code, splits, err = harness("splits", compare_student.HERE / "student.yaml", "--data", phantom, "--json")
    assert code == 0, err
    (tmp_path / "splits.json").write_text(splits)
    tiny = ["--size", "32", "--epochs", "2", "--batch", "4", "--network", '{"growth_rate": 4, "block_config": [1, 1]}']
    given = ["good_student.py", "--data", str(phantom), "--splits", str(tmp_path / "splits.json"), *tiny]
    monkeypatch.setattr(sys, "argv", given)
    good_student.main()
    folds = json.loads(capsys.readouterr().out)
    of_200x = [row for row in json.loads(splits)["images"] if row["side"] == "test" and "-200-" in row["image"]]
    assert [fold["images"] for fold in folds] == [sum(row["fold"] == fold for row in of_200x) for fold in range(5)]
    assert all(0 <= fold["accuracy"] <= 1 and fold["epoch"] in {1, 2} for fold in folds)


@pytest.mark.long
def test_both_are_tested_on_the_same_images(phantom: Path, tmp_path: Path):
    keys = [part for override in TINY for part in ("-o", override)]
    command = [sys.executable, compare_student.__file__, "--data", phantom, *keys, "--jobs", "2", "--out", tmp_path]
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HARNESS_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "student.md").read_text() == done.stdout
    student, run = json.loads((tmp_path / "student.json").read_text())["results"]
    assert [fold["images"] for fold in student["folds"]] == [fold["images"] for fold in run["folds"]]
    assert len(student["folds"]) == 5
    assert all(0 <= fold["accuracy"] <= 1 for one in (student, run) for fold in one["folds"])
    assert student["processor_seconds"] > 0


def test_other_folds_are_refused():
    def measured(name: str, images: int) -> compare_student.Measured:
        return compare_student.Measured(name, 1, 1.0, 1.0, [{"images": images, "accuracy": 0.5}])

    with pytest.raises(compare_student.click.ClickException, match="tested on other images"):
        compare_student.refuse_other_folds([measured("a", 3), measured("b", 4)])
