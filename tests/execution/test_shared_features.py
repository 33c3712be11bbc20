"""Features that cells share change nothing but the time, and come from a sealed set that knows no label and no side."""

import json
from contextlib import contextmanager
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
from harness.execution.shared_features import SharedFeatures
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
    cost = json.loads(feature_file(place).with_name("set.json").read_text())["seconds_per_image"]
    for cell in shared.glob("cells/*"):
        trained = pd.read_parquet(cell / "history.parquet").query("stage == 'final'")["train_seconds"].min()
        sides = pd.read_parquet(cell / "predictions.parquet")["side"]
        assert trained >= cost * (40 - len(sides)) > 0  # what the set costs alone is in every cell's time


@pytest.mark.long
def test_layers_are_looked_for_once_in_all_runs_of_a_study(run, monkeypatch):
    asked, answers = [], SharedFeatures._answers

    def note(self, labels, tasks, on_images):
        asked.extend(task.seed for task in tasks if isinstance(task, PrefixTask))
        return answers(self, labels, tasks, on_images)

    monkeypatch.setattr(SharedFeatures, "_answers", note)
    probe = "models={probe: {plugin: timm, options: {name: resnet10t, mode: probe, fresh: allowed}}}"
    run("study", "protocols=[slide-5fold, accession-5fold]", probe)
    assert asked == [0]


@pytest.mark.long
def test_a_spoilt_set_is_made_anew(run, place):
    shared, _ = run("shared")
    feature_file(place).write_bytes(b"spoilt")
    again, watched = run("again")
    assert any("is made anew" in note for note in watched.notes)
    assert_same(again, shared)


@contextmanager
def written_over(file, change):
    """Put other features into a set, under a seal of their own."""
    before = file.read_bytes(), file.with_name(SEAL).read_text()
    np.save(file, change(np.load(file)))
    seal = json.loads(before[1]) | {file.name: sha256(file.read_bytes()).hexdigest()}
    file.with_name(SEAL).write_text(json.dumps(seal))
    yield
    file.write_bytes(before[0])
    file.with_name(SEAL).write_text(before[1])


@pytest.mark.long
def test_cells_notice_features_that_are_not_their_layers(run, place):
    shared, _ = run("shared")
    with written_over(feature_file(place), np.zeros_like):
        blind, watched = run("blind")
    assert any("are not what the layers make" in note for note in watched.notes)
    assert_same(blind, shared)


@pytest.mark.long
def test_cells_read_the_set(run, place):
    """What differs by less than the order of sums may is believed, and shows in what comes of it."""
    shared, _ = run("shared")
    with written_over(feature_file(place), lambda features: features * np.float32(1.004)):
        moved, _ = run("moved")
    here, there = results(shared), results(moved)
    names = [name for name in here if "predictions" in name]
    assert not any(here[name]["p_malignant"].equals(there[name]["p_malignant"]) for name in names)


@pytest.mark.parametrize("task", [PrefixTask, FeatureTask])
def test_what_makes_features_is_told_no_label_and_no_side(task):
    assert {field.name for field in fields(task)} <= {"setting", "seed", "images", "views", "prefix", "file", "first"}
    assert next(field.type for field in fields(task) if field.name == "images") == "ImageRows"
