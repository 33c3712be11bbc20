"""Run folders, spoilt: their JSON files, their tables, and whole folders put through status, tables and compare."""

from __future__ import annotations

import io
import json
import shutil
from functools import cache, lru_cache
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow as pa
from mutate import spoil_bytes, spoil_tree
from places_in_memory import scratch

from harness.planning.status import read_status
from harness.reporting.analysis import Analysis
from harness.reporting.comparison import Margins, compare_runs, comparison_table
from harness.reporting.results import read_results
from harness.reporting.run_tables import TABLES
from harness.reporting.table import FORMATS, render
from harness.store.active import ActiveRecord
from harness.store.columns import HISTORY, MANIFEST, SPLITS, parse_table, predictions_schema, table_frame
from harness.store.json_files import parse_json
from harness.store.record import read_record
from harness.store.run_folder import parse_cell, parse_run
from harness.store.run_store import RunStore

_REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "demo"
_CELLS = tuple(f"{label}-100x-fold{fold}-seed0" for label in ("majority", "densenet") for fold in (0, 1))
_COLUMNS = {
    "manifest": MANIFEST,
    "splits": SPLITS,
    "predictions": predictions_schema(["benign", "malignant"]),
    "history": HISTORY,
}
_SPOILT_TABLES = 5000
_ODD = (
    None,
    "",
    "x",
    "\x1b[31m",
    "test",
    "final",
    0,
    1,
    2,
    -1,
    40,
    100,
    10**12,
    -(2**62),
    0.5,
    2.0,
    float("nan"),
    float("inf"),
)


@cache
def sound_run() -> dict[str, Any]:
    """A small run as files: JSON trees, and tables as data frames."""
    run = json.loads((_REFERENCE / "run.json").read_text())
    run["config"] |= {"models": {label: run["config"]["models"][label] for label in ("majority", "densenet")}}
    run["config"] |= {"seeds": [0], "strata": ["100x"]}
    run["comparison"]["folds"] = [0, 1]
    splits = pd.read_parquet(_REFERENCE / "splits.parquet")
    files: dict[str, Any] = {
        "run.json": run,
        "manifest.parquet": _at_100x(pd.read_parquet(_REFERENCE / "manifest.parquet")),
        "splits.parquet": splits.query("fold < 2 and seed == 0 and image.str.contains('-100-')"),
        "active/x.json": {"pid": 1, "host": "here", "harness_pid": 1, "epoch": 3},
    }
    for cell in _CELLS:
        folder = _REFERENCE / "cells" / cell
        with_checksums = json.loads((folder / "cell.json").read_text())  # a seal would notice every edit
        record = {key: value for key, value in with_checksums.items() if key not in {"files", "sha256"}}
        files[f"cells/{cell}/cell.json"] = record
        for name in ("predictions", "history"):
            files[f"cells/{cell}/{name}.parquet"] = pd.read_parquet(folder / f"{name}.parquet")
    return files


def _at_100x(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest[manifest["name"].str.contains("-100-")]


def make_record(rng: Random) -> tuple[str, bytes]:
    """One of the JSON files."""
    name = rng.choice([name for name in sound_run() if name.endswith(".json")])
    content = json.dumps(spoil_tree(rng, sound_run()[name])).encode()
    return name, spoil_bytes(rng, content) if rng.random() < 0.2 else content


def read_json_file(sent: tuple[str, bytes]) -> object:
    """Read and check it."""
    name, content = sent
    value = parse_json(content, Path(name))
    if name.startswith("active"):
        return read_record(ActiveRecord, value, Path(name))
    return (parse_cell if name.startswith("cells") else parse_run)(value, Path(name))


def make_table(rng: Random) -> tuple[str, bytes]:
    """A few rows of one of the tables: one of many spoilt ones, its bytes spoilt further or not."""
    name, content = _spoilt_table(rng.randrange(_SPOILT_TABLES))
    return name, spoil_bytes(rng, content) if rng.random() < 0.6 else content


@lru_cache(_SPOILT_TABLES)
def _spoilt_table(number: int) -> tuple[str, bytes]:
    """Writing a table takes longer than reading it, so each is written once."""
    rng = Random(number)
    name = rng.choice([name for name in sound_run() if name.endswith(".parquet")])
    return Path(name).stem, _packed(spoil_frame(rng, sound_run()[name].head(4)))


def read_table(sent: tuple[str, bytes]) -> object:
    """Read and check it."""
    name, content = sent
    return table_frame(parse_table(content, _COLUMNS[name], Path(name)))


def make_run(rng: Random) -> dict[str, bytes]:
    """A whole folder of which a file or two are spoilt; JSON and tables as often."""
    spoilt = set(rng.sample(sorted(sound_run()), rng.choice((1, 1, 1, 2))))
    kept = [name for name in sound_run() if name not in spoilt or rng.random() < 0.95]
    return {name: _file(rng, name, spoilt=name in spoilt) for name in kept}


def read_run(files: dict[str, bytes]) -> object:
    """Ask for its status, its tables, and what changed from a sound one to it."""
    folder = _written("run", files)
    sound = _sound_folder()
    read_status(RunStore(folder)).to_json()
    results = read_results(RunStore(folder))
    analysis = Analysis(results)
    for make in TABLES.values():
        table = make(analysis)
        for how in FORMATS:
            render(table, how)
    for pair in ((sound, results), (results, sound)):
        comparison = compare_runs(*pair, Margins())
        render(comparison_table(comparison), "md")
        json.dumps(comparison.to_json(), allow_nan=False)
    return results


@cache
def _sound_folder() -> Any:
    files = {name: _file(Random(0), name, spoilt=False) for name in sound_run()}
    return read_results(RunStore(_written("sound", files)))


def _written(name: str, files: dict[str, bytes]) -> Path:
    folder = scratch(name) / "run"
    shutil.rmtree(folder, ignore_errors=True)
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    return folder


def _file(rng: Random, name: str, *, spoilt: bool) -> bytes:
    sound = sound_run()[name]
    if isinstance(sound, pd.DataFrame):
        if not spoilt:
            return _sound_bytes(name)
        content = _packed(spoil_frame(rng, sound))
        return spoil_bytes(rng, content) if rng.random() < 0.2 else content
    return json.dumps(spoil_tree(rng, sound) if spoilt else sound).encode()


@cache
def _sound_bytes(name: str) -> bytes:
    return _packed(sound_run()[name])


def spoil_frame(rng: Random, table: pd.DataFrame) -> pd.DataFrame:
    """Change a table: a value, a whole column, its name; rows gone, twice or all gone."""
    column, what = rng.choice(list(table.columns)), rng.randrange(8)
    if what < 3 and len(table):
        return _with_value(table, column, rng.randrange(len(table)), rng.choice(_ODD))
    if what == 3:
        return table.assign(**{column: rng.choice(_ODD)})
    if what == 4:
        return table.drop(columns=column)
    if what == 5:
        return table.rename(columns={column: rng.choice(("x", "", "../x"))})
    if what == 6:
        return table.sample(frac=rng.choice((0, 0.5, 0.9)), random_state=rng.randrange(1000))
    return pd.concat([table, table.head(rng.choice((1, len(table))))])


def _with_value(table: pd.DataFrame, column: str, row: int, value: Any) -> pd.DataFrame:
    """Put a value into a column, which takes the type that holds it and the others; text where there is none."""
    values = table[column].tolist()
    values[row] = value
    try:
        return table.assign(**{column: pa.array(values, from_pandas=True).to_pandas()})
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return table.assign(**{column: [str(value) for value in values]})


def _packed(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
