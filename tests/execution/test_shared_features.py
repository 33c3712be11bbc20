"""Features that cells share change nothing but the time, and come from a sealed set that knows no label and no side."""

import json
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import prepare_environment

import harness
from harness.cache import SEAL
from harness.execution import feature_plan
from harness.planning.observer import Observer
from harness.workers.messages import FeatureTask, PrefixTask

CONFIG = """
protocol: accession-5fold
device: cpu
strata: [200x]
data: {phantom: {accessions: 20, images: 2, size: 32}}
pixels: {size: 32}
schedule: {epochs: 7, batch_size: 16, learning_rate: 0.02, augmentation: random}
sources:
  natural: {kind: image-folder, phantom: true}
models:
  transfer:
    plugin: deep-transfer
    options: &tiny
      growth_rate: 4
      block_config: [1, 1]
      reduction: null
      freeze: denseblock2
      lung: null
      natural: {epochs: 1, learning_rate: 0.02, augmentation: random}
"""


class Notes(Observer):
    """Keeps what a run says."""

    def __init__(self):
        self.notes, self.done = [], []

    def note(self, message):
        self.notes.append(message)

    def progress(self, what, done, total):
        self.done.append((what, done, total))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def run(place, monkeypatch):
    """Run the small config into a folder of a name."""
    prepare_environment(monkeypatch, place / "cache", place)
    monkeypatch.setattr(feature_plan, "_WORTH_SECONDS", float("-inf"))
    config = place / "small.yaml"
    config.write_text(CONFIG)

    def run(name, *overrides):
        watched = Notes()
        harness.run(config, watched, out=place / name, jobs=2, overrides=overrides)
        return place / name, watched

    return run


def results(folder: Path) -> dict[str, pd.DataFrame]:
    """Return predictions and histories of a run's cells, times excepted."""
    files = sorted(folder.glob("cells/*/*.parquet"))
    return {
        f"{file.parent.name}/{file.name}": pd.read_parquet(file).drop(columns="train_seconds", errors="ignore")
        for file in files
    }


def assert_same(one: Path, other: Path) -> None:
    here, there = results(one), results(other)
    assert here.keys() == there.keys()
    assert len(here) == 10
    for name, table in here.items():
        pd.testing.assert_frame_equal(table, there[name], check_exact=True)


def feature_file(place: Path) -> Path:
    return next(place.glob("cache/features/*/features.npy"))


def test_predictions_are_those_of_cells_alone(run, place):
    alone, watched = run("alone", "features_gb=0.000001")
    assert any("features_gb" in note for note in watched.notes)
    assert not list(place.glob("cache/features/*/features.npy"))
    shared, watched = run("shared")
    stored = np.load(feature_file(place))
    assert stored.shape[:2] == (40, 6)
    assert ("features of transfer, 200x", 240, 240) in watched.done
    assert_same(shared, alone)
    seconds = json.loads(feature_file(place).with_name("set.json").read_text())["seconds_per_image"]
    first_epochs = [
        table["train_seconds"].min() for table in map(pd.read_parquet, shared.glob("cells/*/history.parquet"))
    ]
    assert min(first_epochs) >= seconds  # what the set took is in every cell's time


def test_a_spoilt_set_is_made_anew(run, place):
    shared, _ = run("shared")
    feature_file(place).write_bytes(b"spoilt")
    again, watched = run("again")
    assert any("is made anew" in note for note in watched.notes)
    assert_same(again, shared)


def test_cells_read_the_set(run, place):
    """Zeros under a seal of their own are believed: a run that looked nowhere would not notice them."""
    run("shared")
    file = feature_file(place)
    before = file.read_bytes(), file.with_name(SEAL).read_text()
    stored = np.load(file)
    np.save(file, np.zeros_like(stored))
    seal = json.loads(before[1]) | {file.name: sha256(file.read_bytes()).hexdigest()}
    file.with_name(SEAL).write_text(json.dumps(seal))
    blind, _ = run("blind")
    file.write_bytes(before[0])
    file.with_name(SEAL).write_text(before[1])
    predictions = [table for name, table in results(blind).items() if "predictions" in name]
    assert all(set(table["p_malignant"]) == {table["p_malignant"][0]} for table in predictions)


@pytest.mark.parametrize("task", [PrefixTask, FeatureTask])
def test_what_makes_features_is_told_no_label_and_no_side(task):
    assert {field.name for field in fields(task)} <= {"setting", "seed", "images", "views", "prefix", "file", "first"}
    assert next(field.type for field in fields(task) if field.name == "images") == "ImageRows"
