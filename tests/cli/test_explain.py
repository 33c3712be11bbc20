"""Overlays of a network that learns a planted square, through the command line."""

import json
import re
import shutil
import zlib
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch
from torchvision.io import decode_image, encode_png

import harness.execution.explain as core
from harness.api.explain import explain
from harness.reporting.gallery import choose_images
from harness.reporting.results import read_results
from harness.store.explanations import FOLDER, read_explanation
from harness.store.run_store import RunStore
from harness.workers.messages import Explained, Measured

SIDE = 8
SEER = "seer-200x-fold0-seed0"
WITHOUT = "SOB_M_MC-14-10016-200-001"
"""A malignant test image that looks benign, so that the report has one that is confidently wrong."""
OVERRIDES = (
    "pixels={size: 32, stain: none}",
    "schedule={epochs: 12, batch_size: 8, learning_rate: 0.1, augmentation: random}",
    "models={majority: {}, blind: {}, seer: {}, mute: {plugin: seer, options: {does: raise ValueError('not today')}}}",
)
PLUGIN = '''
import numpy as np
from torch import nn
from harness import Model, ModelCard, Options, TorchModel, hookimpl

class Blind(Model):
    """The brightness, and no network."""

    name = "blind"

    def fit(self, train, validation, context):
        pass

    def predict_proba(self, images):
        p = images.float().mean((1, 2, 3)).cpu().numpy() / 255
        return np.stack([1 - p, p], axis=1)

    def describe(self):
        return ModelCard()

    def save(self, folder):
        pass

    def load(self, folder, device, n_classes):
        pass

class SeerOptions(Options):
    does: str = ""

class Seer(TorchModel):
    """Two convolutions and the mean of their maps."""

    name = "seer"
    Options = SeerOptions

    def build(self, n_classes):
        return nn.Sequential(
            nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, n_classes),
        )

    def explain(self, images):
        exec(self.options.does)
        return super().explain(images)

    def load(self, folder, device, n_classes):
        super().load(folder, device, n_classes)
        for file in folder.iterdir():
            file.write_text("spoilt")

@hookimpl
def harness_register_models(register):
    register(Blind)
    register(Seer)
'''


def corner(name):
    """Where the square of an image begins: row and column."""
    return np.random.default_rng(zlib.crc32(name.encode())).integers(2, 32 - SIDE - 2, 2)


def planted(name):
    """Dark noise, and in malignant images a bright square; uint8 (3, 32, 32)."""
    image = np.random.default_rng(zlib.crc32(name.encode())).integers(40, 80, (3, 32, 32)).astype(np.uint8)
    if "_M_" in name and name != WITHOUT:
        row, column = corner(name)
        image[:, row : row + SIDE, column : column + SIDE] = 250
    return torch.from_numpy(image)


@pytest.fixture(scope="module")
def images(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "images"
    shutil.copytree(phantom, folder, ignore=lambda _, names: [n for n in names if re.search("-(40|100|400)-", n)])
    for file in folder.rglob("*.png"):
        file.write_bytes(encode_png(planted(file.stem)).numpy().tobytes())
    return folder


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugin") / "seer.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture(scope="module")
def whole(finished, images, plugin):
    """A run that was never explained."""
    overrides = (word for override in OVERRIDES for word in ("-o", override))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("harness.api.runs.publish", lambda *_: {})  # tables and figures take most of its time
        return finished("--data", images, "--plugin", plugin, *overrides)


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def overlays(run):
    """What lies there: uint8 (32, 32) by the image's name."""
    found = {}
    for file in sorted(run.glob(f"{FOLDER}/{SEER}/*.png")):
        (grey,) = decode_image(torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)).numpy()
        found[file.stem] = grey
    return found


def shares(grey, name):
    """Mean value on a square and a little around it, and of the rest."""
    row, column = corner(name)
    near = np.zeros((32, 32), bool)
    near[max(0, row - 3) : row + SIDE + 3, max(0, column - 3) : column + SIDE + 3] = True
    return grey[near].mean(), grey[~near].mean()


def folder_bytes(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_decides_is_hot_and_whoever_has_no_overlays_is_named(harness, run, plugin):
    before = folder_bytes(run / "cells")
    code, out, err = harness("explain", run, "--plugin", plugin)
    assert (code, out) == (1, "")
    found = overlays(run)
    assert f"{len(found)} overlays computed, 0 kept: {run / FOLDER}" in err
    assert "skipped: blind: it is no network, and has no explain() of its own" in err
    assert "skipped: majority: it says the same of every image" in err
    assert "failed: mute-200x-fold0-seed0: ValueError: not today" in err
    results = read_results(RunStore(run))
    shown = [one for one in choose_images(results) if one.model == "seer"]
    assert set(found) == {one.image for one in shown}
    squares = {one.image for one in shown if one.predicted == one.label == 1}
    assert len(squares) >= 3
    for name in squares:
        assert found[name].max() == 255
        here, elsewhere = shares(found[name], name)
        assert here > 5 * elsewhere, name
    key = results.cells[SEER].key
    assert json.loads((run / FOLDER / SEER / "explanation.json").read_text())["key"] == key
    how = json.loads((run / FOLDER / SEER / "explanation.json").read_text())["how"]
    assert (how["method"], how["layer"]) == ("Grad-CAM", "4")
    assert read_explanation(run, SEER, key, next(iter(found)))[24:26] == b"\x08\x00"  # eight bits, grey
    assert folder_bytes(run / "cells") == before  # although its load() writes to the folder that it is given
    assert not (run / FOLDER / "mute-200x-fold0-seed0").exists()


def test_what_is_there_is_kept_and_needs_neither_images_nor_plugin(run, plugin, images, monkeypatch, shared_cache):
    monkeypatch.setenv("HARNESS_CACHE", str(shared_cache))
    first = explain(run, ["seer"], plugins=[plugin])
    stamps = {path: path.stat().st_mtime_ns for path in (run / FOLDER).rglob("*.png")}
    assert (first.computed, first.kept, first.failures) == (len(stamps), 0, {})
    with monkeypatch.context() as without:
        without.setattr(core.KeptRun, "find_models", None)
        again = explain(run, ["seer"])
    assert (again.computed, again.kept) == (0, len(stamps))
    victim = min(stamps)
    victim.unlink()
    moved = explain(run, ["seer"], data=images, plugins=[plugin])
    assert (moved.computed, moved.kept) == (1, len(stamps) - 1)
    assert {path: path.stat().st_mtime_ns for path in stamps if path != victim} == {
        path: stamp for path, stamp in stamps.items() if path != victim
    }


def test_a_plugin_that_is_not_there_or_another_is_named(harness, run, plugin, tmp_path):
    code, _, err = harness("explain", run, "--models", "seer")
    assert code == 1
    assert "failed: seer: no model 'seer'" in err
    assert "with --plugin" in err
    (tmp_path / "seer.py").write_text(plugin.read_text() + "# edited\n")
    code, _, err = harness("explain", run, "--models", "seer", "--plugin", tmp_path / "seer.py")
    assert code == 1
    assert "failed: seer: the code of plugin seer" in err
    assert "is not what the run was begun with" in err
    assert not (run / FOLDER).exists()


def test_a_model_whose_files_are_gone_is_named(harness, run, plugin):
    (run / "cells" / SEER / "model.safetensors").unlink()
    code, _, err = harness("explain", run, "--models", "seer", "--plugin", plugin)
    assert code == 1
    assert f"failed: {SEER}: its model cannot be read: model.safetensors is not there" in err


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (shutil.rmtree, "images are not there|is not there"),
        (lambda folder: next(folder.rglob("*_B_*.png")).unlink(), r"1 are not there \(SOB_B_"),
        (lambda folder: exchange(*list(folder.rglob("*_B_*.png"))[:2]), r"2 have other contents \(SOB_B_"),
    ],
    ids=["no folder", "one is missing", "exchanged"],
)
def test_other_images_than_the_runs_are_refused(harness, run, plugin, images, tmp_path, harm, reason):
    shutil.copytree(images, tmp_path / "other")
    harm(tmp_path / "other")
    code, _, err = harness("explain", run, "--models", "seer", "--plugin", plugin, "--data", tmp_path / "other")
    assert code == 3
    assert re.search(reason, err)
    assert "--data" in err


def exchange(one, other):
    mine = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(mine)


def test_bad_requests(harness, run, plugin, monkeypatch, tmp_path):
    code, _, err = harness("explain", run, "--models", "sear")
    assert code == 2
    assert "did you mean 'seer'" in err
    assert harness("explain", tmp_path)[0] == 3
    assert harness("explain", run, "--plugin", plugin, "--device", "cuda:99")[0] == 3

    def not_installed(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("harness.training.grad_cam.version", not_installed)
    code, _, err = harness("explain", run, "--plugin", plugin)
    assert code == 3
    assert "pip install 'breakhis-harness[explain]'" in err


def test_answers_of_a_worker_are_checked(run):
    record = RunStore(run).read_done()[SEER]
    work = core.KeptRun(RunStore(run), RunStore(run).require_run().config, None)
    explainer = core._Explainer(work, "cpu", core.Explanations())
    one = core.CellImages(record, ["a", "b"])
    for answer in (Explained(np.zeros((1, 32, 32), np.uint8), {}), Explained(np.zeros((2, 16, 16), np.uint8), {})):
        assert "maps of shape" in explainer._checked(answer, one).reason
    assert "unexpected answer: Measured" in explainer._checked(Measured(None, None, 1), one).reason
