"""The checks pass what is sound, and say what is wrong with what is not."""

# ruff: noqa: E501 - plugins as text

import json
import textwrap

import pytest

from harness.errors import UsageError
from harness.plugin_api.discovery import discover
from harness.testing import CHECKS, parametrize_with_checks, run_checks
from harness.testing.subject import Subject

HEAD = """
import os, pickle
import numpy as np
import torch
from torch import nn
from harness import Model, ModelCard, Options, Throughput, TorchModel, hookimpl

def small(n_classes, *last):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, n_classes), *last
    )

class Sound(TorchModel):
    name = "sound"
    def build(self, n_classes):
        return small(n_classes)

class Plain(Model):
    name = "plain"
    def fit(self, train, validation, context):
        images = train.images.float().mean((1, 2, 3)).numpy()
        self.means = np.array([images[train.labels.numpy() == label].mean() for label in (0, 1)])
    def predict_proba(self, images):
        gaps = np.abs(images.float().mean((1, 2, 3)).numpy()[:, None] - self.means)
        return np.exp(-gaps) / np.exp(-gaps).sum(1, keepdims=True)
    def describe(self):
        return ModelCard(parameters=2)
    def save(self, folder):
        np.save(folder / "means.npy", self.means)
    def load(self, folder, device, n_classes):
        self.means = np.load(folder / "means.npy")

@hookimpl
def harness_register_models(register):
    register(Case)
"""

BROKEN = {
    "an option without a default": ("options", "class O(Options):\n    width: int\nclass Case(Sound):\n    Options = O", "width: Field required"),
    "options that swallow anything": (
        "options",
        "class O(Options):\n    model_config = {'extra': 'allow'}\nclass Case(Sound):\n    Options = O",
        "an unknown option to be refused",
    ),
    "a build of its own chance": (
        "build",
        "class Case(Sound):\n    def build(self, n_classes):\n        made = small(n_classes)\n"
        "        nn.init.constant_(made[0].weight, float(np.random.default_rng().random()))\n        return made",
        "the same weights from the same seed",
    ),
    "a network for two classes only": (
        "build", "class Case(Sound):\n    def build(self, n_classes):\n        return small(2)", "does not use n_classes",
    ),
    "no module": ("build", "class Case(Sound):\n    def build(self, n_classes):\n        return 1", "torch.nn.Module"),
    "a size that is written down": (
        "sizes",
        "class Case(Sound):\n    def build(self, n_classes):\n"
        "        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, n_classes))",
        "mat1 and mat2",
    ),
    "logits": (
        "probabilities",
        "class Case(Plain):\n    def predict_proba(self, images):\n        return 3 * super().predict_proba(images)",
        "take their softmax",
    ),
    "numbers that are none": (
        "probabilities",
        "class Case(Plain):\n    def predict_proba(self, images):\n        return np.nan * super().predict_proba(images)",
        "finite numbers",
    ),
    "one column": (
        "probabilities",
        "class Case(Plain):\n    def predict_proba(self, images):\n        return super().predict_proba(images)[:, 1]",
        "floats of shape (24, 2)",
    ),
    "rows in an order of its own": (
        "order",
        "class Case(Plain):\n    def predict_proba(self, images):\n"
        "        found = super().predict_proba(images)\n        return found[found[:, 0].argsort()]",
        "rows in the order of the images",
    ),
    "statistics of the batch": (
        "batches",
        "class Case(Plain):\n    def predict_proba(self, images):\n"
        "        found = super().predict_proba(images)\n        share = 0.5 * found + 0.5 * found.mean(0)\n        return share",
        "statistics over the images given",
    ),
    "a count that is made up": (
        "card",
        "import dataclasses\nclass Case(Sound):\n    def describe(self):\n"
        "        return dataclasses.replace(super().describe(), parameters=7)",
        "describe() is overridden",
    ),
    "no card": ("card", "class Case(Plain):\n    def describe(self):\n        return {'parameters': 2}", "harness.ModelCard"),
    "percent": (
        "history",
        "from harness import EpochReport\nclass Case(Plain):\n    def fit(self, train, validation, context):\n"
        "        super().fit(train, validation, context)\n"
        "        context.report(EpochReport('final', 1, 0.5, 80.0, 80.0, 0.5, 75.0, 75.0, 32, 1.0))",
        "shares, not percent",
    ),
    "epochs from zero": (
        "history",
        "from harness import EpochReport\nclass Case(Plain):\n    def fit(self, train, validation, context):\n"
        "        super().fit(train, validation, context)\n"
        "        context.report(EpochReport('final', 0, 0.5, 0.8, 0.8, 0.5, 0.7, 0.7, 32, 1.0))",
        "epochs 1, 2, 3",
    ),
    "a speed of nothing": (
        "throughput",
        "class Case(Plain):\n    def measure_throughput(self, sample, context):\n        return Throughput(0.0, 1.0)",
        "positive speeds",
    ),
    "nothing saved": ("saved_model", "class Case(Plain):\n    def save(self, folder): pass", "save() to leave a file"),
    "a pickle": (
        "saved_model",
        "class Case(Plain):\n    def save(self, folder):\n        (folder / 'model.bin').write_bytes(pickle.dumps(self.means))",
        "a pickle in model.bin",
    ),
    "half a model saved": (
        "saved_model",
        "class Case(Plain):\n    def load(self, folder, device, n_classes):\n        self.means = np.zeros(2)",
        "the predictions of before",
    ),
    "a load that needs fit": (
        "saved_model",
        "class Case(Plain):\n    def load(self, folder, device, n_classes):\n        self.means = self.kept",
        "it needs what only fit() has made",
    ),
    "chance without a seed": (
        "one_seed_one_answer",
        "class Case(Plain):\n    def fit(self, train, validation, context):\n"
        "        super().fit(train, validation, context)\n        self.means += np.random.default_rng().random(2)",
        "the same predictions from the same seed",
    ),
    "a folder that is left": (
        "nothing_else_is_changed",
        "class Case(Plain):\n    def fit(self, train, validation, context):\n"
        "        super().fit(train, validation, context)\n        os.environ['LEFT_BY_CASE'] = str(os.getpid()) + str(id(self))",
        "the environment variables",
    ),
    "weights fitted on validation": (
        "validation_is_for_choosing",
        "class Case(Sound):\n    def fit(self, train, validation, context):\n"
        "        train = type(train)(torch.cat([train.images, validation.images]), torch.cat([train.labels, validation.labels]))\n"
        "        super().fit(train, validation, context)",
        "weights are fitted on validation images",
    ),
    "a softmax before the loss, and no rate": (
        "learns",
        "class Case(Sound):\n    def build(self, n_classes):\n        return small(n_classes, nn.Softmax(1))\n"
        "    def rate(self, epoch, schedule):\n        return 1e-6",
        "a softmax before the loss",
    ),
}  # fmt: skip


def subject_of(tmp_path, code):
    file = tmp_path / "case.py"
    file.write_text(f"{HEAD}\n{textwrap.dedent(code)}\n")
    (registered,) = (
        claims[0] for claims in discover([file]).claims.values() if claims[0].plugin.file == file.resolve()
    )
    return Subject(registered)


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_fails_with_the_right_words(tmp_path, monkeypatch, case):
    monkeypatch.delenv("LEFT_BY_CASE", raising=False)
    name, code, words = BROKEN[case]
    (result,) = run_checks(subject_of(tmp_path, code), {name: CHECKS[name]})
    monkeypatch.delenv("LEFT_BY_CASE", raising=False)
    assert result.state == "failed"
    assert words in result.words


@pytest.mark.parametrize("base", ["Sound", "Plain"])
def test_what_is_sound_passes(tmp_path, base):
    results = list(run_checks(subject_of(tmp_path, f"class Case({base}): pass"), CHECKS))
    assert [(result.check, result.words) for result in results if result.is_trouble] == []
    assert len(results) == len(CHECKS) >= 15


def test_an_announced_failure_is_none_and_one_that_does_not_come_is(tmp_path):
    subject = subject_of(tmp_path, "class Case(Plain):\n    def save(self, folder): pass")
    checks = {name: CHECKS[name] for name in ("saved_model", "card")}
    saved, card = run_checks(subject, checks, {"saved_model": "not yet", "card": "never"})
    assert (saved.state, saved.words, saved.is_trouble) == ("expected", "not yet", False)
    assert (card.state, card.is_trouble) == ("unexpected pass", True)


@parametrize_with_checks(["majority"], expected_failures={"learns": "it always says the same"})
def test_a_shipped_model_as_cases(check):
    check()


def test_an_unknown_check_is_refused():
    with pytest.raises(UsageError, match="no check 'learn'"):
        parametrize_with_checks(["majority"], expected_failures={"learn": "x"})


def test_the_command_tells_programs_how_many_ran(harness):
    code, out, _ = harness("plugins", "check", "majority", "--json", "--only", "options,build,card")
    content = json.loads(out)
    assert (code, content["ran"]) == (0, 2)
    assert [result["state"] for result in content["models"]["majority"]] == ["passed", "skipped", "passed"]
    assert harness("plugins", "check", "majority", "--only", "learns")[0] == 1
    assert harness("plugins", "check", "majority", "--only", "learns", "--expect", "learns=it says the same")[0] == 0
    assert harness("plugins", "check", "majority", "--only", "lerns")[0] == 2


def test_a_model_is_shown_with_its_options(harness):
    code, out, _ = harness("plugins", "show", "deep-transfer")
    assert code == 0
    assert "needs: natural, lung" in out
    assert "reduction (int | None; default 16)" in out
    assert "Channels to hidden channels" in out
    described = json.loads(harness("plugins", "show", "timm", "--json")[1])
    assert {option["name"]: option["required"] for option in described["options"]}["name"] is True
    assert harness("plugins", "show", "timn")[0] == 2
