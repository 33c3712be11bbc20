"""Observers of plugins: they see what is published, in order, and none of them is in the way of a run."""

import json
import re
import signal
from collections import deque
from functools import partial
from itertools import repeat, starmap

import pytest

import harness as package
from harness.errors import EnvironmentMissingError, PluginError, UsageError
from harness.execution.observer_request import choose_observers
from harness.planning.observer import Observer
from harness.plugin_api.discovery import discover
from harness.workers import observer_handle
from harness.workers.observer_handle import ObserverHandle, ObserverLostError

PLUGIN = """
import json, os, signal, time
from pathlib import Path
from harness import Model, ModelCard, Options, RunObserver, hookimpl

class RecorderOptions(Options):
    file: Path

class Recorder(RunObserver):
    '''Writes down all that it is told.'''
    name = "recorder"
    Options = RecorderOptions
    def record(self, *event):
        with self.options.file.open("a") as file:
            print(json.dumps(event), file=file)
    def run_started(self, run):
        print("hello from the recorder")
        self.record("run_started", run)
    def cell_started(self, cell): self.record("cell_started", cell)
    def epoch_ended(self, cell, epoch): self.record("epoch_ended", cell, epoch)
    def cell_ended(self, cell): self.record("cell_ended", cell)
    def run_ended(self, outcome): self.record("run_ended", outcome)

class Raiser(RunObserver):
    name = "raiser"
    def epoch_ended(self, cell, epoch): raise RuntimeError("no such metric\\nand more")

class Hanger(RunObserver):
    name = "hanger"
    def cell_started(self, cell):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        while True: time.sleep(60)

class Quitter(RunObserver):
    name = "quitter"
    def cell_started(self, cell): os._exit(3)

class Unmade(RunObserver):
    name = "unmade"
    def __init__(self, options=None): raise SystemExit("not today")

class Needy(RunObserver):
    name = "needy"
    needs = {"no_such_library": "mine[all]"}

class Hopeless(Model):
    name = "hopeless"
    def check(self, sample, context): raise RuntimeError("it cannot be trained")
    def fit(self, train, validation, context): pass
    def predict_proba(self, images): pass
    def describe(self): return ModelCard()
    def save(self, folder): pass
    def load(self, folder, device, n_classes): pass

@hookimpl
def harness_register_observers(register):
    for observer in (Recorder, Raiser, Hanger, Quitter, Unmade, Needy):
        register(observer)
"""
WITH_MODEL = f"{PLUGIN}\n@hookimpl\ndef harness_register_models(register):\n    register(Hopeless)\n"
DENSENET, MAJORITY = "densenet-200x-fold0-seed0", "majority-200x-fold0-seed0"


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "watching.py").write_text(PLUGIN)
    return tmp_path / "watching.py"


@pytest.fixture
def events(tmp_path):
    """What the recorder has written down."""
    return lambda: [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]


@pytest.fixture
def watched(harness, tiny, phantom, plugin, tmp_path):
    """Run the tiny config with observers: (exit code, stderr)."""

    def run(*observers, options=()):
        named = [word for observer in observers for word in ("--observer", observer)]
        folders = ("--data", phantom, "--out", tmp_path / "run")
        code, _, err = harness("run", tiny, *folders, "--plugin", plugin, *named, *options)
        return code, err

    return run


@pytest.fixture
def started(plugin, tmp_path):
    """Start an observer's process by itself, and end it behind the test."""
    handles = []

    def start(name):
        (chosen,) = choose_observers([name], discover([plugin]))
        handles.append(ObserverHandle(chosen.registered, chosen.options, tmp_path / "log"))
        return handles[-1]

    yield start
    for handle in handles:
        handle.kill()


def published(run, cell):
    return {"name": cell, **json.loads((run / "cells" / cell / "cell.json").read_text())}


def test_a_run_goes_on_whatever_observers_do_and_the_others_see_all_of_it(watched, events, tmp_path, monkeypatch):
    monkeypatch.setattr(observer_handle, "FINISH_SECONDS", 3.0)
    code, err = watched(f"recorder:file={tmp_path / 'events'}", "raiser", "hanger", "quitter", "unmade")
    assert code == 0, err
    notes = dict(
        re.findall(r"observer (\w+) is dropped, and the run goes on without it: (.*); what it has printed", err)
    )
    assert notes == {
        "raiser": "RuntimeError: no such metric",
        "hanger": "it has not finished within 3 s after the run",
        "quitter": "its process has ended, with code 3",
        "unmade": "SystemExit: not today",
    }
    assert err.count("is dropped") == len(notes)
    run, seen = tmp_path / "run", events()
    cell = {"name": DENSENET, "model": "densenet", "stratum": "200x", "fold": 0, "seed": 0}
    given = {"plugin": "densenet", "options": {"growth_rate": 4, "block_config": [1, 1]}}
    epochs = [event for event in seen if event[0] == "epoch_ended"]
    assert [event[0] for event in seen if DENSENET in json.dumps(event[1])] == [
        *("cell_started", "epoch_ended", "epoch_ended", "cell_ended")
    ]
    assert seen[0] == ["run_started", {"folder": str(run), **json.loads((run / "run.json").read_text())}]
    assert ["cell_started", {**cell, "given": given}] in seen
    assert [event[1] for event in epochs] == [{**cell, "given": given}] * 2
    assert [(event[2]["stage"], event[2]["epoch"]) for event in epochs] == [("final", 1), ("final", 2)]
    assert set(epochs[0][2]) == {
        *("stage", "epoch", "train_loss", "validation_loss", "validation_balanced_accuracy"),
        *("images_seen", "train_seconds"),
    }
    assert [event[1] for event in seen if event[0] == "cell_ended"] == [
        published(run, name) for name in (MAJORITY, DENSENET)
    ]
    assert seen[-1] == ["run_ended", {"state": "finished", "computed": 2, "kept": 0, "failures": {}}]
    assert (run / "logs/observer-recorder.log").read_text() == "hello from the recorder\n"
    assert "Traceback" in (run / "logs/observer-raiser.log").read_text()


@pytest.mark.long
def test_a_model_that_cannot_be_trained_is_told_of_and_what_is_kept_is_not(watched, events, plugin, tmp_path):
    plugin.write_text(WITH_MODEL)
    recorder = f"recorder:file={tmp_path / 'events'}"
    assert watched(options=("--models", "majority"))[0] == 0
    assert watched(recorder, options=("--models", "majority"))[0] == 0
    assert not (tmp_path / "events").exists()
    code, err = watched(recorder, options=("--models", "majority,hopeless"))
    assert code == 1, err
    assert [event[0] for event in events()] == ["run_started", "cell_ended", "run_ended"]
    assert events()[1][1] == published(tmp_path / "run", "hopeless-200x-fold0-seed0")
    assert events()[2][1]["failures"].keys() == {"hopeless-200x-fold0-seed0"}


def test_an_interruption_is_told(events, plugin, tiny, phantom, shared_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(shared_cache))

    class Interrupting(Observer):
        def epoch(self, *_):
            raise KeyboardInterrupt

    options = {"data": phantom, "out": tmp_path / "run", "models": ["densenet"], "plugins": [plugin]}
    with pytest.raises(KeyboardInterrupt):
        package.run(tiny, Interrupting(), observers=[f"recorder:file={tmp_path / 'events'}"], **options)
    assert [event[0] for event in events()] == ["run_started", "cell_started", "run_ended"]
    assert events()[-1][1]["state"] == "interrupted"


@pytest.mark.long
def test_one_that_hangs_is_found_while_the_run_goes_on(started, monkeypatch):
    monkeypatch.setattr(observer_handle, "MESSAGE_SECONDS", 0.0)
    hanger = started("hanger")
    hanger.tell("cell_started", {})
    with pytest.raises(ObserverLostError, match="at one event for more than 0 s"):
        hanger.tell("epoch_ended", {}, {})


@pytest.mark.long
def test_no_more_waits_for_one_that_hangs_than_is_bounded(started, monkeypatch):
    monkeypatch.setattr(observer_handle, "MESSAGES", 5)
    hanger = started("hanger")
    tell_much = partial(hanger.tell, "cell_started", {"much": "x" * 1_000_000})
    with pytest.raises(ObserverLostError, match="it is 5 events behind"):
        deque(starmap(tell_much, repeat((), 20)))


def test_one_that_is_killed_is_missed(started):
    hanger = started("hanger")
    hanger._process.kill()
    hanger._process.join()
    with pytest.raises(ObserverLostError, match=f"ended, by signal {signal.SIGKILL.value}"):
        hanger.tell("cell_started", {})


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        (["recordr"], UsageError, "no observer 'recordr' - did you mean 'recorder'"),
        (["raiser", "raiser"], UsageError, "named twice"),
        (["recorder:file"], UsageError, "expected NAME or NAME:KEY=VALUE,KEY=VALUE"),
        (["recorder:fiel=x"], UsageError, "unknown key 'fiel' - did you mean 'file'"),
        (["needy"], EnvironmentMissingError, r"needs no_such_library, .* - pip install 'mine\[all\]'"),
    ],
)
def test_what_cannot_watch_is_refused_with_the_reason(plugin, wanted, error, words):
    with pytest.raises(error, match=words):
        choose_observers(wanted, discover([plugin]))


def test_a_library_that_is_missing_is_told_before_any_training(watched, tmp_path):
    code, err = watched("needy")
    assert code == 3
    assert "pip install 'mine[all]'" in err
    assert not (tmp_path / "run").exists()


def test_a_plugin_may_bring_observers_alone_and_the_list_names_them(plugin, harness):
    host = discover([plugin])
    assert {"recorder", "mlflow", "tensorboard"} <= set(host.observers)
    assert host.rows_of_files() == {}
    code, out, _ = harness("plugins", "list", "--plugin", plugin)
    models, observers, data_sets = out.split("\n\n")
    assert code == 0
    assert "densenet" in models
    assert re.search("^breakhis +breakhis-harness", data_sets, re.MULTILINE)
    assert re.search(r"^recorder +file +Writes down all that it is told\.$", observers, re.MULTILINE)
    code, _, err = harness("plugins", "check", plugin)
    assert (code, "registers no model" in err) == (2, True)


def test_a_name_that_two_observers_claim_is_nobodys(plugin):
    twin = plugin.with_name("twin.py")
    twin.write_text(PLUGIN)
    host = discover([plugin, twin])
    with pytest.raises(PluginError, match=r"watching\.py and .*twin\.py both register an observer named 'raiser'"):
        host.find_observer("raiser")
    assert any("an observer named 'raiser'" in trouble for trouble in host.troubles())


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "raiser"', "", "Raiser has no name"),
        ('name = "raiser"', 'name = "a:b"', "has no colon"),
        ('name = "raiser"', 'name = "hanger"', "two classes register the name 'hanger'"),
        ("class Raiser(RunObserver)", "class Raiser", r"takes a subclass of harness\.RunObserver"),
        ('{"no_such_library": "mine[all]"}', '["a"]', "needs must be a mapping"),
        ("Options = RecorderOptions", "Options = dict", "Options must be a subclass"),
    ],
)
def test_a_bad_observer_is_refused_with_the_reason(plugin, old, new, reason):
    plugin.write_text(PLUGIN.replace(old, new))
    with pytest.raises(PluginError, match=reason):
        discover([plugin])
