"""Models are tried on a few images before their first cell, once."""

import inspect
import json
from dataclasses import replace

import pytest
import torch

from harness.execution import runner, trial
from harness.execution.measurements import Speed
from harness.testing.cases import registered_models
from harness.testing.subject import Subject
from harness.workers.messages import Measured
from harness.workers.trial import brief_context, try_model

PLUGIN = """
import numpy as np
from torch import nn
from harness import Model, ModelCard, TorchModel, hookimpl

class Sound(TorchModel):
    name = "sound"
    def build(self, n_classes):
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, n_classes))

class Forgetful(Sound):
    name = "forgetful"
    def load(self, folder, device, n_classes):
        super().load(folder, device, n_classes)
        nn.init.zeros_(self._network[2].weight)

class Needy(Sound):
    name = "needy"
    def load(self, folder, device, n_classes):
        self._network = self.kept

class Lossy(Sound):
    name = "lossy"
    def loss(self, logits, targets, class_weights):
        raise TypeError("no such loss")

class Greedy(Model):
    name = "greedy"
    def fit(self, train, validation, context):
        if context.schedule.epochs < 2:
            raise ValueError("too short")
    def predict_proba(self, images):
        return np.full((len(images), 2), 0.5)
    def describe(self):
        return ModelCard()
    def save(self, folder):
        pass
    def load(self, folder, device, n_classes):
        pass

class Moody(Greedy):
    name = "moody"
    def fit(self, train, validation, context):
        pass
    def predict_proba(self, images):
        share = np.random.default_rng().random((len(images), 1))
        return np.concatenate([share, 1 - share], 1)

@hookimpl
def harness_register_models(register):
    for kind in (Sound, Forgetful, Needy, Lossy, Greedy, Moody):
        register(kind)
"""
UNFIT = {
    "forgetful": "expected: the predictions of before; came: differences of up to 0.",
    "needy": "expected: load() to restore the model; came: AttributeError: 'Needy' object has no attribute 'kept'",
    "lossy": "TypeError: no such loss",
}


@pytest.fixture
def run(harness, tiny, phantom, tmp_path, monkeypatch):
    """Run some models of the plugin, untimed: ``run("sound")`` gives (exit code, stderr)."""

    def untimed(_run, todo, *_arguments):
        return {cell.label: Speed(Measured(None, None, 0)) for cell in todo}, {}

    monkeypatch.setattr(runner, "measure_throughputs", untimed)

    def call(models, *arguments, out="run", code=PLUGIN):
        file = tmp_path / "plugin.py"
        file.write_text(code)
        given = ("--plugin", file, "--models", models, "--data", phantom, "--out", tmp_path / out, "--jobs", 1)
        code, _, told = harness("run", tiny, *given, *arguments)
        return code, told

    return call


@pytest.fixture
def tried(monkeypatch):
    """Take down the labels of the models that are tried."""
    labels, worker = [], trial._worker

    def note(run, label, *arguments):
        labels.append(label)
        return worker(run, label, *arguments)

    monkeypatch.setattr(trial, "_worker", note)
    return labels


def test_what_cannot_be_trained_saved_or_loaded_fails_before_its_first_cell_and_the_rest_runs(run, tmp_path):
    code, told = run(",".join([*UNFIT, "greedy", "moody"]))
    assert code == 1
    records = [json.loads(file.read_text()) for file in (tmp_path / "run" / "cells").glob("*/cell.json")]
    reasons = {record["model"]: record["error"]["reason"] for record in records if record["state"] == "failed"}
    assert reasons.keys() == UNFIT.keys()
    for label, words in UNFIT.items():
        assert words in reasons[label]
        assert f"{label} cannot be trained, and none of its 1 cells is begun: {reasons[label]}" in told
    assert reasons["forgetful"].endswith("likely: save() leaves something out, or load() does not restore it")
    assert {record["model"] for record in records if record["state"] == "done"} == {"greedy", "moody"}
    assert "greedy could not be tried on a few images (ValueError: too short)" in told


def test_a_trial_changes_no_prediction_and_is_not_repeated(run, tried, tmp_path, monkeypatch):
    assert run("sound")[0] == 0
    assert run("sound", "-o", "magnifications=[100,200]")[0] == 0
    assert tried == ["sound"]
    assert run("sound", code=f"{PLUGIN}\n# changed")[0] == 0
    assert tried == ["sound", "sound"]
    monkeypatch.setattr(runner, "try_models", lambda *_: {})
    assert run("sound", out="untried")[0] == 0
    file = "cells/sound-200x-fold0-seed0/predictions.parquet"
    assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "untried" / file).read_bytes()


@pytest.mark.long
def test_a_model_is_tried_once_for_all_runs_of_a_study(run, tried):
    code, told = run("sound", "-o", "allow_leak=true", "-o", "protocols=[paper-random, holdout]")
    assert code == 0, told
    assert tried == ["sound"]


STAGED = """
from torch import nn
from harness import Schedule, Stage, TorchModel, hookimpl

epochs = []

class Staged(TorchModel):
    name = "staged"
    def build(self, n_classes):
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, n_classes))
    def pretraining(self):
        return (Stage("first", "natural", Schedule(epochs=200)),)
    def rate(self, epoch, schedule):
        epochs.append((epoch, schedule.epochs))
        return 0.1

@hookimpl
def harness_register_models(register):
    register(Staged)
"""


@pytest.fixture
def staged(tmp_path):
    (tmp_path / "staged.py").write_text(STAGED)
    (registered,) = registered_models(tmp_path / "staged.py")
    return Subject(registered)


def test_stages_are_as_brief_as_the_rest(staged, tmp_path):
    try_model(staged.make, brief_context(staged.context(), tmp_path))
    assert inspect.getmodule(staged.registered.model).epochs == [(1, 1), (1, 1)]


def test_source_sets_of_a_trial_lie_on_the_devices_of_its_model(staged, tmp_path):
    brief = brief_context(replace(staged.context(), device=torch.device("meta")), tmp_path)
    for load in (brief.sources["natural"].train, brief.sources["natural"].validation):
        assert (load().images.device.type, load().labels.device.type) == ("meta", "meta")


@pytest.mark.cuda
def test_a_model_with_stages_passes_its_trial_on_cuda(staged, tmp_path):
    try_model(staged.make, brief_context(replace(staged.context(), device=torch.device("cuda")), tmp_path))
