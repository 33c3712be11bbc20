"""Damage to a finished run, and who holds a run folder."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import CellError, UsageError
from harness.execution.cell_results import done_record
from harness.store import json_files, run_folder, run_store
from harness.store.active import ActiveRecord
from harness.store.run_store import RunStore

CELL = "densenet-200x-fold0-seed0"


@pytest.fixture(scope="module")
def whole(finished):
    return finished()


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def edit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def lower_accuracy(file):
    record = json.loads(file.read_text())
    record["metrics"]["balanced_accuracy"] = 1.0
    file.write_text(json.dumps(record, indent=1))


def cut(file):
    file.write_bytes(file.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("predictions.parquet", edit),
        pytest.param("predictions.parquet", Path.unlink, marks=pytest.mark.long),
        pytest.param("history.parquet", cut, marks=pytest.mark.long),
        ("cell.json", lower_accuracy),
        pytest.param("cell.json", cut, marks=pytest.mark.long),
        pytest.param("cell.json", Path.unlink, marks=pytest.mark.long),
        pytest.param("model.safetensors", cut, marks=pytest.mark.long),
    ],
)
def test_damage_is_named_and_mended(run, harness, tiny, phantom, file, damage):
    damage(run / "cells" / CELL / file)
    for command in (("tables", run), ("compare", run, run)):
        code, _, told = harness(*command)
        assert code == 3
        assert CELL in told
        assert file in told
    assert "computes damaged cells anew" in harness("tables", run)[2]
    assert json.loads(harness("status", run, "--json")[1])["counts"] == {"damaged": 1, "done": 1}
    code, _, told = harness("run", tiny, "--data", phantom, "--out", run)
    assert code == 0, told
    assert f"cell {CELL} is damaged: {file}" in told
    assert "1 cells computed, 1 kept" in told


@pytest.mark.long
def test_a_models_file_is_read_when_a_run_goes_on_and_only_then(run, harness, tiny, phantom):
    edit(run / "cells" / CELL / "model.safetensors")
    assert harness("tables", run)[0] == 0
    assert "1 cells computed, 1 kept" in harness("run", tiny, "--data", phantom, "--out", run)[2]


def test_results_without_seals_or_models_can_be_read(run, harness):
    record_file = run / "cells" / CELL / "cell.json"
    record = json.loads(record_file.read_text())
    del record["files"], record["sha256"]
    record_file.write_text(json.dumps(record))
    for model in run.glob("cells/*/model.*"):
        model.unlink()
    assert harness("tables", run)[0] == 0


def test_a_folder_is_held_by_one(tmp_path):
    with (
        RunStore(tmp_path).open_for_writing(),
        pytest.raises(UsageError, match=r"pid \d+ on .* \(--wait"),
        RunStore(tmp_path).open_for_writing(),
    ):
        pass
    with RunStore(tmp_path).open_for_writing():
        pass
    assert not (tmp_path / ".lock.json").exists()


def test_a_checkpoint_is_of_one_key(tmp_path):
    store = RunStore(tmp_path)
    (store.checkpoint_folder("cell", "a" * 64) / "state").write_text("x")
    assert (store.checkpoint_folder("cell", "a" * 64) / "state").exists()
    assert not any(store.checkpoint_folder("cell", "b" * 64).iterdir())
    store.drop_checkpoint("cell")
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("stray", ["file", "empty folder", "hidden folder"])
def test_what_is_no_cell_stops_nobody(run, harness, stray):
    place = run / "cells" / (".stray" if stray == "hidden folder" else "stray")
    place.write_text("x") if stray == "file" else place.mkdir()
    for command in (("tables", run), ("status", run), ("compare", run, run)):
        code, _, told = harness(*command)
        assert code == 0, told
        assert "stray" not in told


def test_a_folder_that_is_half_a_cell_is_damaged(run, harness):
    (run / "cells" / "stray").mkdir()
    shutil.copy(run / "cells" / CELL / "predictions.parquet", run / "cells" / "stray")
    code, _, told = harness("tables", run)
    assert code == 3
    assert "stray is damaged: cell.json is not there" in told


def cell_of(run):
    folder = run / "cells" / CELL
    tables = (pd.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "history"))
    record = json.loads((folder / "cell.json").read_text())
    return {key: value for key, value in record.items() if key not in {"files", "sha256"}}, *tables


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda record, _p, _h: record.update(parameters=-1), "'parameters'"),
        (lambda record, _p, _h: record.update(weights_bytes=10**16), "'weights_bytes'"),
        (lambda record, _p, _h: record.update(reproduces=5), "'reproduces'"),
        (lambda record, _p, _h: record["timings"].update(fit_seconds=float("nan")), "'timings.fit_seconds'"),
        (lambda record, _p, _h: record["timings"].update(images_per_second_alone=0.0), "images_per_second_alone"),
        (lambda record, _p, _h: record["metrics"].update(auc=1.5), "'metrics.auc'"),
        (lambda _r, predictions, _h: predictions.__setitem__("p_benign", 1.5), "'p_benign' holds what is no prob"),
        (lambda _r, _p, history: history.__setitem__("train_seconds", float("nan")), "'train_seconds' has"),
        (lambda _r, _p, history: history.__setitem__("epoch", 0.5), "'epoch' holds double, not integers"),
    ],
)
def test_what_could_not_be_read_again_is_not_kept(run, change, reason):
    record, predictions, history = cell_of(run)
    change(record, predictions, history)
    store = RunStore(run)
    saved = store.saving_folder(store.working_folder(CELL))
    with pytest.raises(CellError, match=f"what the model has reported cannot be stored: .*{reason}"):
        store.finish_cell(CELL, saved, done_record(record), predictions, history)
    assert store.find_damage(thorough=True) == {}
    assert store.read_cells()[CELL].state == "done"


def test_a_cell_is_on_the_disk_before_it_is_there_and_each_file_is_waited_for_once(run, monkeypatch):
    record, predictions, history = cell_of(run)
    place = run / "cells" / CELL
    shutil.rmtree(place)
    flushed = []
    monkeypatch.setattr(run_store, "flush", lambda path: flushed.append((path.name, place.exists())))
    store = RunStore(run)
    saved = store.saving_folder(working := store.working_folder(CELL))
    (saved.path / "model.bin").write_bytes(b"x")
    store.finish_cell(CELL, saved, done_record(record), predictions, history)
    *before, last = flushed
    assert last == ("cells", True)
    files = ["cell.json", "history.parquet", "model.bin", "predictions.parquet", working.name]
    assert sorted(before) == sorted((name, False) for name in files)


def test_the_note_of_a_cell_at_work_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    store, note = RunStore(tmp_path), ActiveRecord(pid=1, host="here", epoch=3, harness_pid=2)
    with store.open_for_writing():
        monkeypatch.setattr("os.fsync", lambda _: pytest.fail("waits for the disk"))
        store.set_active(CELL, note)
        assert store.read_active() == {CELL: note}


def without(field):
    return lambda record: record.pop(field)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.update(provenance="lung"), "'provenance'"),
        (lambda record: record.update(inspection=[1]), "'inspection'"),
        (without("metrics"), "'metrics'"),
        (without("versions"), "'versions'"),
        (without("plugin"), "'plugin'"),
        (lambda record: record["plugin"].update(files=3), "'plugin.files'"),
        (lambda record: record.update(options=None), "'options'"),
    ],
)
@pytest.mark.parametrize("arguments", [(), ("--provenance",)])
def test_a_field_of_another_type_is_one_line(run, harness, change, told, arguments):
    file = run / "cells" / CELL / "cell.json"
    record = json.loads(file.read_text())
    for seal in ("files", "sha256"):
        record.pop(seal)
    change(record)
    file.write_text(json.dumps(record))
    code, _, err = harness("status", run, *arguments)
    assert code == 3
    assert told in err
    assert len(err.splitlines()) == 1


def test_a_record_without_provenance_has_none(run, harness):
    file = run / "cells" / CELL / "cell.json"
    record = {k: v for k, v in json.loads(file.read_text()).items() if k not in {"files", "sha256", "provenance"}}
    file.write_text(json.dumps(record))
    code, out, _ = harness("status", run, "--provenance")
    assert code == 0
    assert "from scratch" in out


@pytest.mark.parametrize("change", [without("harness_pid"), lambda record: record.update(harness_pid="me")])
def test_an_active_file_that_is_none_is_one_line(run, harness, change):
    active = {"pid": 1, "host": "here", "harness_pid": 1, "epoch": 0}
    change(active)
    (run / "active").mkdir(exist_ok=True)
    (run / "active" / f"{CELL}.json").write_text(json.dumps(active))
    code, _, err = harness("status", run)
    assert code == 3
    assert "'harness_pid'" in err
    assert len(err.splitlines()) == 1


def test_every_record_is_read_once(run, monkeypatch):
    read, store = [], RunStore(run)
    monkeypatch.setattr(run_folder, "read_json", lambda file: read.append(file) or json_files.read_json(file))
    records, damage = store.examine(thorough=True)
    assert records == store.read_sound() == store.read_cells()
    assert not damage
    assert sorted(read[: len(records)]) == sorted(run.glob("cells/*/cell.json"))
    assert len(read) == 3 * len(records)
