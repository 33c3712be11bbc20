"""Stages of the cache: never shared by networks that differ, and never believed once they are not as written."""

from __future__ import annotations

import pytest
from small_runs import run_module

TWIN = """
import torch.nn.functional as F
from torch import nn
from harness import Options, Schedule, Stage, TorchModel, hookimpl

class TwinOptions(Options):
    activation: str = "relu"
    remark: str = ""

class Net(nn.Module):
    def __init__(self, n_classes, activation):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, n_classes)
        self._activation = {"relu": F.relu, "tanh": F.tanh}[activation]
    def forward(self, x):
        return self.head(self._activation(self.stem(x)).mean((2, 3)))

class Twin(TorchModel):
    name = "twin"
    Options = TwinOptions
    def build(self, n_classes):
        return Net(n_classes, self.options.activation)
    def stage_options(self):
        return STAGE_OPTIONS
    def pretraining(self):
        return (Stage("natural", "natural", Schedule(epochs=1, batch_size=8, augmentation="random")),)

@hookimpl
def harness_register_models(register):
    register(Twin)
"""
MODELS = (
    "models={relu: {plugin: twin, options: {activation: relu}}, tanh: {plugin: twin, options: {activation: tanh}},"
    " remarked: {plugin: twin, options: {activation: relu, remark: x}}}"
)


@pytest.fixture
def run(harness, tiny, phantom, tmp_path, monkeypatch):
    """Run the three twins with a cache of their own: exit code, what it said, predictions, the stages' folders."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))

    def call(stage_options):
        (tmp_path / "twin.py").write_text(TWIN.replace("STAGE_OPTIONS", stage_options))
        given = ("--data", phantom, "--plugin", tmp_path / "twin.py", "--models", "relu,tanh,remarked", "-o", MODELS)
        code, _, told = harness("run", tiny, *given, "--out", tmp_path / "run", "--fresh")
        assert code == 0, told
        files = sorted((tmp_path / "run" / "cells").glob("*/predictions.parquet"))
        return told, [file.read_bytes() for file in files], sorted((tmp_path / "cache" / "stages").glob("*/"))

    return call


@pytest.mark.long
def test_a_stage_is_shared_by_none_but_its_like_and_made_anew_where_it_is_spoilt(run):
    told, before, stages = run("{}")  # the options say nothing, so the network alone must tell the twins apart
    assert len(stages) == 2
    assert "made anew" not in told
    weights = stages[0] / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    told, after, _ = run("{}")
    assert after == before
    assert told.count("is not as it was written (weights.safetensors); it is made anew") == 1
    assert weights.read_bytes() == whole


@pytest.mark.long
def test_options_are_part_of_the_key_unless_a_model_leaves_them_out(run):
    _, _, stages = run("super().stage_options()")
    assert len(stages) == 3


@pytest.mark.long
def test_other_libraries_make_stages_of_their_own(run, tiny, phantom, tmp_path):
    run("{}")
    (tmp_path / "libraries" / "timm-0.0.1.dist-info").mkdir(parents=True)
    (tmp_path / "libraries" / "timm-0.0.1.dist-info" / "METADATA").write_text("Name: timm\nVersion: 0.0.1\n")
    given = ("--data", phantom, "--plugin", tmp_path / "twin.py", "--models", "relu", "-o", MODELS)
    run_module(
        *("harness", "run", tiny, *given, "--out", tmp_path / "other"),
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path / "libraries"),
    )
    assert len(list((tmp_path / "cache" / "stages").glob("*/"))) == 3
