"""Run folders that are damaged or come from somebody else: one line that names the file, and exit code 3."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.store.columns import SPLITS, read_table, write_table

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "demo"
KEPT = tuple(f"{label}-100x-fold{fold}-seed0" for label in ("majority", "densenet") for fold in (0, 1))
CELL = f"cells/{KEPT[2]}"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of four finished cells, without their seals, which would notice every edit before its kind matters."""
    folder = tmp_path / "run"
    for name in KEPT:
        shutil.copytree(REFERENCE / "cells" / name, folder / "cells" / name)
        record = folder / "cells" / name / "cell.json"
        with_checksums = json.loads(record.read_text())
        record.write_text(
            json.dumps({key: value for key, value in with_checksums.items() if key not in {"files", "sha256"}})
        )
    for name in ("manifest.parquet", "splits.parquet"):
        shutil.copy(REFERENCE / name, folder)
    content = json.loads((REFERENCE / "run.json").read_text())
    models = content["config"]["models"]
    content["config"] |= {
        "models": {label: models[label] for label in ("majority", "densenet")},
        "strata": ["100x"],
    }
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def refused(harness, run: Path, *words: str, commands=("status", "tables", "compare")) -> None:
    for command in commands:
        arguments = (run, run) if command == "compare" else (run,)
        code, out, err = harness(command, *arguments)
        assert (code, out) == (3, ""), command
        assert len(err.splitlines()) == 1
        assert err.rstrip("\n").isprintable()
        assert "Traceback" not in err
        for word in words:
            assert word in err


def test_the_sound_run_serves(harness, run):
    assert [harness(*given)[0] for given in (("status", run), ("tables", run), ("compare", run, run))] == [0, 0, 0]


@pytest.mark.parametrize("file", ["run.json", f"{CELL}/cell.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b'"x"',
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'{"x": ' + b"9" * 5000 + b"}",
        b'{"state": []}',
    ],
)
def test_what_is_no_record_is_named(harness, run, file, content):
    (run / file).write_bytes(content)
    refused(harness, run, file.removesuffix("/cell.json"), commands=("tables", "compare"))
    code, out, err = harness("status", run)
    named = out if "cells" in file and not code else err
    assert "Traceback" not in err
    assert Path(file).parent.name in named or file in named


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("run.json", "config", None),
        ("run.json", "config", {"models": {}}),
        ("run.json", "config", {"models": {"densenet": {"options": 3}}}),
        ("run.json", "config", {"models": {"majority": {}}, "seeds": list(range(10**6))}),
        ("run.json", "comparison", {}),
        ("run.json", "comparison", {"folds": "01", "slide_13412": "keep", "limit": None}),
        ("run.json", "leaks", [3]),
        ("run.json", "leaky", "no"),
        ("run.json", "protocol", {"name": "\x1b[31m"}),
        (f"{CELL}/cell.json", "state", "perhaps"),
        (f"{CELL}/cell.json", "state", "failed"),
        (f"{CELL}/cell.json", "model", ["densenet"]),
        (f"{CELL}/cell.json", "model", "\ud800"),
        (f"{CELL}/cell.json", "stratum", 100),
        (f"{CELL}/cell.json", "metrics", {"p_img": float("nan"), "p_arp_subgroup": 1, "balanced_accuracy": 1}),
        (f"{CELL}/cell.json", "metrics", {}),
        (f"{CELL}/cell.json", "timings", {"cell_seconds": "long"}),
        (f"{CELL}/cell.json", "convergence", {"epochs": 1}),
        (f"{CELL}/cell.json", "parameters", 10**400),
        (f"{CELL}/cell.json", "key_parts", {"plugin": "x"}),
        (f"{CELL}/cell.json", "versions", {"torch": None}),
    ],
)
def test_fields_of_another_type_are_named(harness, run, file, key, value):
    content = json.loads((run / file).read_text())
    (run / file).write_text(json.dumps(content | {key: value}))
    refused(harness, run, file.removesuffix("/cell.json"), commands=("tables", "compare"))
    del content[key]
    (run / file).write_text(json.dumps(content))
    refused(harness, run, file)


@pytest.mark.parametrize(
    "state", [b"{}", b'{"pid": "1", "host": "x", "epoch": 1}', b'{"pid": 1e99, "host": "", "epoch": 0}']
)
def test_a_damaged_note_of_a_cell_at_work(harness, run, state):
    (run / "active").mkdir()
    (run / "active" / "x.json").write_bytes(state)
    refused(harness, run, "active/x.json", commands=("status",))


TABLES = ("manifest.parquet", "splits.parquet", f"{CELL}/predictions.parquet", f"{CELL}/history.parquet")


@pytest.mark.parametrize("file", TABLES)
@pytest.mark.parametrize("damage", ["empty", "text", "cut", "missing", "pipe", "column", "subtype"])
def test_a_damaged_table_is_named(harness, run, file, damage):
    path = run / file
    table = pd.read_parquet(path)
    if damage in {"missing", "pipe"}:
        path.unlink()
    if damage == "pipe":
        os.mkfifo(path)
    elif damage == "column":
        table.drop(columns="stage" if "stage" in table else table.columns[0]).to_parquet(path)
    elif damage == "subtype":
        table.assign(**{table.columns[0]: 3}).to_parquet(path)
    elif damage != "missing":
        path.write_bytes({"empty": b"", "text": b"no table", "cut": path.read_bytes()[:-200]}[damage])
    refused(harness, run, file, commands=("tables", "compare"))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("label", 7),
        ("predicted", -1),
        ("side", "elsewhere"),
        ("stratum", None),
        ("p_benign", 2.0),
        ("p_malignant", float("nan")),
    ],
)
def test_values_that_cannot_be_are_named(harness, run, column, value):
    path = run / CELL / "predictions.parquet"
    pd.read_parquet(path).assign(**{column: value}).to_parquet(path)
    refused(harness, run, f"{CELL}/predictions.parquet", column, commands=("tables", "compare"))


def test_rows_of_another_cell_are_refused(harness, run):
    shutil.copy(run / "cells" / KEPT[3] / "predictions.parquet", run / CELL)
    refused(harness, run, "predictions.parquet holds rows of another cell", commands=("tables", "compare"))


def test_a_cell_in_the_folder_of_another_is_refused(harness, run):
    (run / CELL).rename(run / "cells" / "other")
    refused(harness, run, "the folder other", commands=("tables", "compare"))


def test_predictions_that_contradict_the_manifest_are_refused(harness, run):
    path = run / CELL / "predictions.parquet"
    pd.read_parquet(path).assign(group="14-1").to_parquet(path)
    refused(harness, run, "contradict each other", commands=("tables", "compare"))


def test_a_table_that_claims_billions_of_rows_is_not_read(harness, run):
    path = run / CELL / "predictions.parquet"
    side = pa.DictionaryArray.from_arrays(pa.array([0] * 6_000_000, pa.int8()), pa.array(["test"]))
    pq.write_table(pa.table({"side": side}), path)
    assert path.stat().st_size < 100_000
    refused(harness, run, f"{CELL}/predictions.parquet", "rows", commands=("tables", "compare"))


def test_notes_of_pandas_in_a_table_are_not_believed(harness, run):
    path = run / CELL / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"pandas": b'{"index_columns": [{"kind": "range"'}), path)
    assert harness("tables", run)[0] == 0


def test_a_pipe_in_place_of_a_record_does_not_hang(harness, run):
    (run / CELL / "cell.json").unlink()
    os.mkfifo(run / CELL / "cell.json")
    refused(harness, run, f"{CELL} is damaged: cell.json cannot be read", commands=("tables", "compare"))


@pytest.mark.parametrize("place", ["tables", "figures"])
def test_nothing_is_written_through_a_link(harness, run, tmp_path, place):
    (tmp_path / "mine").mkdir()
    (run / place).symlink_to(tmp_path / "mine")
    refused(harness, run, place, "is a link", commands=("tables",))
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_figure_that_is_a_link_is_replaced_and_its_target_left_alone(harness, run, tmp_path):
    (tmp_path / "mine.png").write_bytes(b"mine")
    (run / "figures").mkdir()
    (run / "figures" / "figure7.png").symlink_to(tmp_path / "mine.png")
    assert harness("tables", run)[0] == 0
    assert (tmp_path / "mine.png").read_bytes() == b"mine"


def test_a_hostile_label_is_drawn_and_printed(harness, run):
    label = "$\\bad{ \x1b[31m |=1+1"
    for file in [run / "run.json", *run.glob("cells/densenet-*/cell.json")]:
        file.write_text(file.read_text().replace('"densenet"', json.dumps(label)))
    for file in run.glob("cells/densenet-*/predictions.parquet"):
        pd.read_parquet(file).assign(model=label).to_parquet(file)
    for folder in list(run.glob("cells/densenet-*")):
        folder.rename(folder.with_name(folder.name.replace("densenet", "bad-31m-1-1")))
    code, out, err = harness("tables", run)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert len(list((run / "figures").glob("figure*"))) == 6


def test_columns_that_are_not_stored_may_hold_anything(tmp_path):
    splits = pd.DataFrame({"image": ["a"], "fold": [0], "seed": [0], "side": ["test"], "hold_outs": [frozenset({1})]})
    write_table(tmp_path / "splits.parquet", splits, SPLITS)
    assert read_table(tmp_path / "splits.parquet", SPLITS).column_names == SPLITS.names
