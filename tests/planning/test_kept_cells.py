"""A run in which every cell is kept is told from records and files, and whatever these leave open is not."""

import json
import shutil
from importlib.metadata import version

import pandas as pd
import pytest

from harness import run as run_config
from harness.cache import Cache
from harness.config.config_files import load_config
from harness.data.manifest import image_files
from harness.planning import kept_cells as module
from harness.planning import staleness
from harness.planning.image_set import scan_images
from harness.planning.kept_cells import kept_cells
from harness.planning.observer import Observer
from harness.planning.status import read_status
from harness.store.run_store import RunStore


@pytest.fixture(scope="module")
def whole(finished):
    return finished()


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


@pytest.fixture
def ask(run, tiny, phantom, shared_cache):
    def count(*overrides, images=phantom):
        _, config = load_config(str(tiny), (f"data.folder={images}", *overrides))
        kept = kept_cells(config, RunStore(run), Cache(shared_cache, print), Observer())
        return kept and kept.planned

    return count


def rewrite(file, change):
    record = json.loads(file.read_text())
    for seal in ("files", "sha256"):
        record.pop(seal, None)
    change(record)
    file.write_text(json.dumps(record))


def test_a_run_that_is_whole(ask):
    assert ask() == 2


def test_fewer_models_are_asked_for(ask):
    assert ask("models={majority: {}}") == 1


@pytest.mark.parametrize(
    "override",
    [
        "seeds=[0, 1]",
        "strata=[100x,200x]",
        "pixels.size=48",
        "schedule.epochs=3",
        "schedule.execution_mode=compiled",
        "models.densenet.options.growth_rate=8",
        "models.densenet.options={}",
        "models.more={plugin: majority}",
        "models.majority.plugin=white-point",
        "reference=majority",
        "limit=1",
        "threads=2",
        "protocol=accession-5fold",
        "protocol=paper-random",
    ],
)
def test_another_config(ask, override):
    assert ask(override) is None


def test_a_cell_that_is_not_there(ask, run):
    shutil.rmtree(run / "cells" / "majority-200x-fold0-seed0")
    assert ask() is None


def test_a_model_that_is_damaged(ask, run):
    next(run.glob("cells/densenet-*/model.safetensors")).write_bytes(b"x")
    assert ask() is None


def test_no_run(ask, run):
    (run / "run.json").unlink()
    assert ask() is None


def test_an_image_that_was_replaced(ask, run, phantom, tmp_path):
    images = shutil.copytree(phantom, tmp_path / "images")
    for file in (run / "run.json", *run.glob("cells/*/cell.json")):
        rewrite(file, lambda record: record.get("config", {"data": {}})["data"].update(folder=str(images)))
    assert ask(images=images) == 2
    one, other = list(image_files(images))[:2]
    shutil.copy(other, one)
    assert ask(images=images) is None


def test_a_plugin_whose_files_have_changed(ask, monkeypatch):
    monkeypatch.setattr(staleness, "own_files", lambda _package: {})
    assert ask() is None


def test_another_training_version(ask, monkeypatch):
    monkeypatch.setattr(staleness, "TRAINING_VERSION", -1)
    assert ask() is None


def test_a_device_that_only_torch_can_tell(ask, monkeypatch):
    monkeypatch.setattr(module, "device_type_of", lambda _wish: None)
    assert ask() is None


@pytest.mark.parametrize("name", ["device_type_of", "_identity"])
def test_images_are_read_last(ask, monkeypatch, name):
    scanned = []
    monkeypatch.setattr(module, "scan_images", lambda *given: scanned.append(given) or scan_images(*given))
    assert ask() == 2
    assert len(scanned) == 1
    monkeypatch.setattr(module, name, lambda *_: None)
    assert ask() is None
    assert len(scanned) == 1


def test_tables_need_no_second_look_at_the_cells(run, tiny, phantom, shared_cache, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(shared_cache))
    monkeypatch.setattr(RunStore, "read_sound", lambda _: pytest.fail("the cells were read again"))
    result = run_config(str(tiny), out=run, overrides=[f"data.folder={phantom}"])
    assert [outcome.kept for outcome in result.outcomes.values()] == [2]
    assert "3" in result.tables


def give(run, **options):
    """Let the run's config say these options of the densenet as well."""
    rewrite(run / "run.json", lambda record: record["config"]["models"]["densenet"]["options"].update(options))


def test_an_option_that_is_given_at_its_default(ask, run, harness):
    assert ask("models.densenet.options.dropout=0.25") is None  # run.json is to say so, and is written anew
    give(run, dropout=0.25)
    assert ask("models.densenet.options.dropout=0.25") == 2
    assert json.loads(harness("status", run, "--json")[1])["counts"] == {"done": 2}


def test_other_plugins_are_installed(ask, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "densenet,majority")
    assert ask() is None


@pytest.mark.parametrize("table", ["splits.parquet", "manifest.parquet"])
def test_a_table_of_the_run_that_is_gone_or_another(ask, run, table):
    rows = pd.read_parquet(run / table)
    rows.iloc[:-1].to_parquet(run / table)
    assert ask() is None
    (run / table).unlink()
    assert ask() is None


@pytest.mark.parametrize("field", ["given", "starts_from"])
def test_a_record_that_does_not_say_enough(ask, run, field):
    for file in run.glob("cells/densenet-*/cell.json"):
        rewrite(file, lambda record: record.update({field: None}))
    assert ask() is None


def test_weights_and_source_sets_are_looked_at(ask, run, tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"as they were")

    def start(record):
        starts = {"sources": {}, "files": {str(weights): module.sha256_of_file(weights)}}
        record["starts_from"] = starts

    for file in run.glob("cells/densenet-*/cell.json"):
        rewrite(file, start)
    assert ask() is None  # no option names the file: the plugin finds it, perhaps elsewhere today
    give(run, weights=str(weights))
    for file in run.glob("cells/densenet-*/cell.json"):
        rewrite(file, lambda record: record["given"]["options"].update(weights=str(weights)))
    assert ask(f"models.densenet.options.weights={weights}") == 2
    weights.write_bytes(b"changed")
    assert ask(f"models.densenet.options.weights={weights}") is None
    give(run, weights=None)
    for file in run.glob("cells/densenet-*/cell.json"):
        rewrite(file, lambda record: record.update(starts_from={"sources": {"natural": "other"}, "files": {}}))
    assert ask() is None


def test_a_distribution_is_asked_for_its_version_once(run, monkeypatch):
    asked = []
    monkeypatch.setattr(staleness, "version", lambda name: asked.append(name) or version(name))
    assert read_status(RunStore(run)).counts == {"done": 2}
    assert len(asked) == 1
