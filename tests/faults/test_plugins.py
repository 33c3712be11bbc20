"""A plugin that misbehaves costs only its own cells, and a person can read why."""

import json
import re

import pandas as pd
import pytest
from misbehaviour import HANGS, MISBEHAVIOURS, Misbehaviour
from runs import failures, results

GOOD = ("majority", "densenet")
BUILD = (
    "def build(self, n_classes):\n"
    "        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, n_classes))"
)
TORCH_PLUGIN = """
from torch import nn
from harness import TorchModel, hookimpl

class Network(TorchModel):
    name = "{name}"
    {body}

@hookimpl
def harness_register_models(register):
    register(Network)
"""
CHEAP = (
    *("raises", "crashes", "killed", "exits", "exits-at-once", "few-rows", "not-finite", "bomb", "bomb-on-the-line"),
    *("saves-a-pipe", "saves-elsewhere", "removes-the-cell", "vast-shape", "leaves-children", "full-disk"),
)


def write(folder, wanted):
    for name, bad in wanted.items():
        (folder / f"{name}.py").write_text(bad.source(name))
    return [part for name in wanted for part in ("--plugin", folder / f"{name}.py")]


def judge(run, told, wanted):
    assert "Traceback" not in told
    reasons = failures(run)
    assert reasons.keys() == wanted.keys()
    for name, bad in wanted.items():
        assert re.search(bad.reason, reasons[name]), (name, reasons[name])
        assert "\n" not in reasons[name]
        assert f"{name}-200x-fold0-seed0: {reasons[name]}" in told


@pytest.mark.long
def test_all_at_once(stage, undisturbed, tmp_path, everything, record_property):
    run, wanted = tmp_path / "run", MISBEHAVIOURS if everything else {name: MISBEHAVIOURS[name] for name in CHEAP}
    code, told = stage.run(run, "--jobs", 3, "-o", "strata=[200x]", *write(tmp_path, wanted))
    assert code == 1, told
    judge(run, told, wanted)
    good = {cell: content for cell, content in results(run, *GOOD).items() if "-200x-" in cell}
    assert len(good) == 2
    assert good.items() <= undisturbed.results.items()
    assert not list(stage.folder.rglob("exploded"))
    assert not stage.survivors()
    assert sum(log.stat().st_size for log in run.glob("logs/prints.log*")) <= 10_000_000
    record_property("misbehaving plugins at once beside two good models", len(wanted))
    record_property("predictions of the good models", "the same bytes")


@pytest.mark.parametrize("name", MISBEHAVIOURS)
@pytest.mark.usefixtures("only_with_everything")
def test_one_by_one(stage, undisturbed, tmp_path, record_property, name):
    run, wanted = tmp_path / "run", {name: MISBEHAVIOURS[name]}
    code, told = stage.run(run, "-o", "strata=[200x]", *write(tmp_path, wanted))
    assert code == 1, told
    judge(run, told, wanted)
    assert results(run, *GOOD).items() <= undisturbed.results.items()
    assert not stage.survivors()
    record_property("misbehaviour", name)
    record_property("reason", failures(run)[name].replace(str(tmp_path), "..."))


ODD = {
    "a little more than one": ("predict", "good = np.tile(np.array([0.0, 1.0000001], np.float32), (len(images), 1))"),
    "a little less than nothing": ("predict", "good = np.tile([-1e-7, 1.0], (len(images), 1))"),
    "a file called saved": ("save", "(folder / 'saved').write_text('x')"),
    "a folder called saved": ("save", "(folder / 'saved').mkdir(); (folder / 'saved' / 'w').write_text('x')"),
}


@pytest.mark.usefixtures("only_with_everything")
def test_what_is_odd_and_not_wrong_is_kept(stage, tmp_path, record_property):
    wanted = {f"odd-{place}": Misbehaviour("", **{ODD[way][0]: ODD[way][1]}) for place, way in enumerate(ODD)}
    run = tmp_path / "run"
    code, told = stage.run(run, "-o", "strata=[200x]", "--models", ",".join(wanted), *write(tmp_path, wanted))
    assert code == 0, told
    values = pd.concat(pd.read_parquet(file) for file in run.glob("cells/*/predictions.parquet"))
    assert values["p_benign"].between(0, 1).all()
    assert values["p_malignant"].between(0, 1).all()
    record_property("kept", "; ".join(ODD))


LEANING = {
    "together": (
        "share = len(images) % 7 / 7; good = np.tile([share, 1 - share], (len(images), 1))",
        "predictions depend on the other images of the batch",
    ),
    "never-alone": (
        "assert len(images) > 1, 'too few'",
        "predict_proba cannot classify one image by itself: AssertionError: too few",
    ),
    "apart": ("pass", None),
}


@pytest.mark.long
def test_predictions_that_lean_on_the_batch_are_told_once_and_kept(stage, tmp_path, record_property):
    wanted = {name: Misbehaviour("", predict=body) for name, (body, _) in LEANING.items()}
    code, told = stage.run(tmp_path / "run", "--models", ",".join(wanted), *write(tmp_path, wanted))
    assert code == 0, told
    for name, (_, note) in LEANING.items():
        assert told.count(f"note: {name}: ") == (note is not None)
        assert note is None or f"note: {name}: {note}" in told
    record_property("told once a model", "; ".join(note for _, note in LEANING.values() if note))


CERTAIN = {
    "no-argument": ("def build(self): return nn.Linear(1, 2)", "takes 1 positional argument"),
    "no-weights": (
        BUILD + "\n    def initial_weights(self): return 'hub:no_such_network'",
        "cannot get weights of no_such",
    ),
    "no-class": (BUILD.replace("nn.Linear(3, n_classes)", "undefined()"), "NameError"),
    "random-frozen": (BUILD + "\n    def frozen(self, network): return ('2',)", "frozen layers would stay random"),
}


@pytest.mark.usefixtures("only_with_everything")
def test_a_certain_error_is_told_once_and_before_the_first_cell(stage, undisturbed, tmp_path, record_property):
    for name, (body, _) in CERTAIN.items():
        (tmp_path / f"{name}.py").write_text(TORCH_PLUGIN.format(name=name, body=body))
    given = [part for name in CERTAIN for part in ("--plugin", tmp_path / f"{name}.py")]
    code, told = stage.run(tmp_path / "run", *given)
    assert code == 1, told
    reasons = failures(tmp_path / "run")
    before = told[: told.index("done in")]
    for name, (_, reason) in CERTAIN.items():
        assert re.search(reason, reasons[name]), reasons[name]
        assert before.count(f"{name} cannot be trained, and none of its 2 cells is begun") == 1
        assert f"failed: 2 cells of {name}: {reasons[name]}" in told
        assert f"{name} 200x" not in told
    assert results(tmp_path / "run", *GOOD).items() <= undisturbed.results.items()
    record_property("told once, before the first cell", "; ".join(reasons.values()).replace(str(tmp_path), "..."))


PEEK = """
import numpy as np
from harness import Model, ModelCard, hookimpl

class Peek(Model):
    # a nearest neighbour that keeps what it has seen in context.cache for whoever finds it there
    name = "peek"
    def fit(self, train, validation, context):
        place = context.cache / f"seen-{context.code[:12]}-{context.pixels[:12]}.npz"
        self.x, self.y = self.features(train.images), train.labels.numpy()
        if place.exists():
            old = np.load(place)
            self.x, self.y = np.concatenate([old["x"], self.x]), np.concatenate([old["y"], self.y])
        np.savez(place, x=self.x, y=self.y)
    def features(self, images):
        return images.float().flatten(1).numpy()
    def predict_proba(self, images):
        distance = ((self.features(images)[:, None] - self.x[None]) ** 2).sum(-1)
        sure = np.where(distance.min(1) == 0, self.y[distance.argmin(1)], 0.5)
        return np.stack([1 - sure, sure], 1)
    def describe(self):
        return ModelCard(parameters=len(self.y))
    def save(self, folder):
        np.savez(folder / "seen.npz", x=self.x, y=self.y)
    def load(self, folder, device, n_classes):
        seen = np.load(folder / "seen.npz")
        self.x, self.y = seen["x"], seen["y"]

@hookimpl
def harness_register_models(register):
    register(Peek)
"""


@pytest.mark.long
def test_what_a_cell_caches_reaches_no_cell_that_is_tested_on_it(stage, tmp_path, record_property):
    (tmp_path / "peek.py").write_text(PEEK)
    given = ("--plugin", tmp_path / "peek.py", "--models", "peek", "-o", "protocol=accession-5fold")
    code, told = stage.run(tmp_path / "run", *given)
    assert code == 0, told
    tables = [pd.read_parquet(file) for file in (tmp_path / "run").glob("cells/*/predictions.parquet")]
    tested = pd.concat(tables).query("side == 'test'")
    assert len(tables) == 10
    assert (tested["p_benign"] == 0.5).all()
    record_property("test images that a shared cache knew", int((tested["p_benign"] != 0.5).sum()))


@pytest.mark.usefixtures("only_with_everything")
def test_a_hanging_cell_is_ended(stage, tmp_path, record_property):
    arguments = ("-o", "strata=[200x]", "-o", "cell_seconds=5", "--models", "majority,hangs")
    code, told = stage.run(tmp_path / "run", *arguments, *write(tmp_path, {"hangs": HANGS}))
    assert code == 1, told
    judge(tmp_path / "run", told, {"hangs": HANGS})
    assert not stage.survivors()
    record_property("reason", failures(tmp_path / "run")["hangs"])


@pytest.mark.usefixtures("only_with_everything")
def test_a_cell_without_memory_is_tried_again_alone(stage, undisturbed, tmp_path, record_property):
    once = Misbehaviour(
        "never told",
        fit="mark = context.cache / 'hungry'\n"
        "        if not mark.exists():\n"
        "            mark.touch()\n"
        "            raise MemoryError",
    )
    code, told = stage.run(tmp_path / "run", "--jobs", 3, "-o", "strata=[200x]", *write(tmp_path, {"hungry": once}))
    assert code == 0, told
    assert "ran out of memory beside others; it is tried again when nothing else runs" in told
    concurrency = {
        record["model"]: record["concurrency"]
        for record in (json.loads(file.read_text()) for file in (tmp_path / "run").glob("cells/*/cell.json"))
    }
    assert concurrency == {"majority": 3, "densenet": 3, "hungry": 1}
    assert results(tmp_path / "run", *GOOD).items() <= undisturbed.results.items()
    record_property("out of memory beside others", "tried again alone, done")


VANDAL = """
import hashlib, json, locale, os, random, signal, warnings
import numpy as np
import torch
from harness import Model, ModelCard, hookimpl

cells = 0

def state():
    mask = os.umask(0)
    os.umask(mask)
    seen = [cells, random.random(), np.random.rand(), torch.rand(3).tolist(), str(torch.get_default_dtype()),
        torch.get_num_threads(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, os.getcwd(), sorted(os.environ.items()),
        str(signal.getsignal(signal.SIGTERM)), str(warnings.filters), locale.setlocale(locale.LC_ALL), mask,
        torch.add is torch.sub, str(np.geterr()), torch.get_float32_matmul_precision()]
    return hashlib.sha256(json.dumps(seen).encode()).digest()

class Vandal(Model):
    name = "vandal"
    def fit(self, train, validation, context):
        global cells
        self.seen = state()
        cells += 1
        random.seed(8); np.random.seed(8); torch.manual_seed(8)
        torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); torch.set_num_threads(2)
        torch.use_deterministic_algorithms(True); torch.backends.cudnn.deterministic = False
        torch.backends.cudnn.benchmark = True; torch.set_float32_matmul_precision("medium")
        os.chdir("/"); os.environ["LEFT"] = "behind"; os.umask(0o077)
        signal.signal(signal.SIGTERM, signal.SIG_IGN); warnings.simplefilter("error"); np.seterr(all="raise")
        locale.setlocale(locale.LC_ALL, "C.UTF-8"); torch.add = torch.sub
    def predict_proba(self, images):
        benign = int.from_bytes(self.seen[:6], "big") / 2**48
        return np.tile([benign, 1 - benign], (len(images), 1))
    def describe(self):
        return ModelCard()
    def save(self, folder):
        (folder / "seen").write_bytes(self.seen)
    def load(self, folder, device, n_classes):
        self.seen = (folder / "seen").read_bytes()

@hookimpl
def harness_register_models(register):
    register(Vandal)
"""


@pytest.mark.long
def test_a_cell_starts_in_the_same_state_whatever_the_one_before_has_left(stage, tmp_path, record_property):
    (tmp_path / "vandal.py").write_text(VANDAL)
    arguments = ("--plugin", tmp_path / "vandal.py", "--models", "vandal")
    code, told = stage.run(tmp_path / "run", *arguments)
    assert code == 0, told
    first, second = (pd.read_parquet(file) for file in sorted((tmp_path / "run").glob("cells/*/predictions.parquet")))
    assert first["stratum"].unique() != second["stratum"].unique()
    assert first["p_benign"].unique().tolist() == second["p_benign"].unique().tolist()
    record_property("second cell after a vandal", "sees the same state as the first, 19 kinds compared")
