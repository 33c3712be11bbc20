"""What a run folder must hold to be read: its files may be damaged, or come from somebody else."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from harness.data.names import MAGNIFICATIONS
from harness.errors import ConfigError, DataError
from harness.execution.config import parse_config

MAX_JSON_BYTES = 50_000_000
MAX_ROWS = 5_000_000
MAX_TABLE_BYTES = 2_000_000_000
"""Of a table's columns, unpacked; a few bytes of a file can claim any number of rows."""
MAX_CELLS = 1_000_000

SHARED_PARTS = ("plugin", "options", "starts from", "training version")
"""Parts of a cell's key that all cells of a model have in common, unless some of them are stale."""

TEXT, INTEGER, NUMBER = "text", "integers", "numbers"
_NULLABLE = "?"
_IDENTITY = {"slide": TEXT, "accession": TEXT, "type": TEXT, "magnification": INTEGER}
MANIFEST = {
    **dict.fromkeys(("name", "file", "sha256", "state"), TEXT),
    "size": INTEGER,
    **{name: kind + _NULLABLE for name, kind in (*_IDENTITY.items(), ("label", INTEGER))},
}
SPLITS = {"image": TEXT, "fold": INTEGER, "seed": INTEGER, "side": TEXT}
PREDICTIONS = {
    "side": TEXT,
    "image": TEXT,
    **_IDENTITY,
    "model": TEXT,
    **dict.fromkeys(("fold", "seed", "label", "predicted"), INTEGER),
    **dict.fromkeys(("p_benign", "p_malignant"), NUMBER),
}
HISTORY = {
    "stage": TEXT,
    "epoch": INTEGER,
    "images_seen": INTEGER,
    "train_seconds": NUMBER,
    **{
        f"{side}_{measure}": NUMBER + _NULLABLE
        for side in ("train", "validation")
        for measure in ("loss", "accuracy", "balanced_accuracy")
    },
}
"""Columns of each table and what stands in them; a question mark allows a field to be empty."""

_ALLOWED: dict[str, frozenset[Any]] = {
    "side": frozenset({"train", "validation", "test"}),
    "magnification": frozenset(MAGNIFICATIONS),
    "label": frozenset({0, 1}),
    "predicted": frozenset({0, 1}),
}

Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
Speed = Annotated[float, Field(ge=1e-9, le=1e12)]
Fraction = Annotated[float, Field(ge=0, le=1)]
K = TypeVar("K", bound="Record")


class Record(BaseModel):
    """A part of a JSON file; fields that nobody reads may hold anything."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Protocol(Record):
    name: str
    title: str
    cross_validates: bool
    shared_accessions: Count


class _Comparison(Record):
    folds: Annotated[list[Annotated[int, Field(ge=0, le=1000)]], Field(max_length=1000)]
    slide_13412: Literal["drop-dc", "drop-lc", "keep"]
    limit: Count | None


class RunRecord(Record):
    """What is read of ``run.json``."""

    config: dict[str, Any]
    protocol: _Protocol
    leaks: list[str]
    leaky: bool
    comparison: _Comparison
    comparison_key: str
    device: dict[str, Any]


class _Metrics(Record):
    p_img: Fraction | None
    p_arp_slide: Fraction | None
    balanced_accuracy: Fraction | None


class _Convergence(Record):
    epochs: Count
    images: Annotated[float, Field(ge=1, le=1e15)]
    train_seconds: Seconds


class _Timings(Record):
    fit_seconds: Seconds
    cell_seconds: Seconds
    images_per_second_alone: Speed | None
    calibration_seconds: Speed | None


class _Stage(Record):
    train_seconds: Seconds


class _Error(Record):
    reason: str


def _with_shared_parts(parts: dict[str, str]) -> dict[str, str]:
    if lacking := [part for part in SHARED_PARTS if part not in parts]:
        raise ValueError(f"{lacking[0]} is not there")
    return parts


class _Cell(Record):
    model: str
    magnification: Literal[40, 100, 200, 400]
    fold: Count
    seed: int
    key_parts: Annotated[dict[str, str], AfterValidator(_with_shared_parts)]
    comparison_key: str
    versions: dict[str, str]


class DoneRecord(_Cell):
    """What is read of a finished cell's ``cell.json``."""

    state: Literal["done"]
    reproduces: str | None
    engine: str
    metrics: _Metrics
    parameters: Count | None
    trainable_parameters: Count | None
    weights_bytes: Count | None
    checkpoint_bytes: Count | None
    forward_flop: Count | None
    epochs: Count
    convergence: _Convergence | None
    pretraining: list[_Stage]
    timings: _Timings


class FailedRecord(_Cell):
    """What is read of a failed cell's ``cell.json``."""

    state: Literal["failed"]
    error: _Error


class ActiveRecord(Record):
    """What is read of a cell at work."""

    pid: Annotated[int, Field(ge=1, lt=1 << 31)]
    host: str
    epoch: Count


def read_file(path: Path, limit: int) -> bytes | None:
    """Return a file's bytes, or None where there is none.

    Raises:
        DataError: It is no file, has more than ``limit`` bytes, or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path} is no file")
        if found.st_size > limit:
            raise DataError(f"{path} has {found.st_size:,} bytes; the harness writes no such file")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def parse_json(content: bytes, where: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: It is none.
    """
    try:
        value = json.loads(content.decode("utf-8"))
        if b"\\ud" in content.lower():
            json.dumps(value, ensure_ascii=False).encode()  # raises at half a character, which nothing could print
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {where}: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{where} does not hold what the harness writes there")
    return value


def check_record(value: dict[str, Any], kind: type[K], where: Path) -> dict[str, Any]:
    """Return ``value`` if what is read of it has the types that ``kind`` says.

    Raises:
        DataError: A field is missing or of another type; the first one is named.
    """
    try:
        kind.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])[:100]
        raise DataError(
            f"{where} does not hold what the harness writes there: '{key}': {fault['msg']} - delete what is damaged "
            "and run again, or get the folder anew"
        ) from None
    return value


def check_run(value: dict[str, Any], where: Path) -> dict[str, Any]:
    """Return a ``run.json`` if it is one, its config complete.

    Raises:
        DataError: It is none.
    """
    check_record(value, RunRecord, where)
    try:
        config = parse_config(value["config"], f"the config in {where}")
    except ConfigError as error:
        raise DataError(str(error)) from error
    axes = (config.models, config.seeds, config.magnifications, value["comparison"]["folds"])
    if math.prod(len(axis) for axis in axes) > MAX_CELLS:
        raise DataError(f"{where} plans more than {MAX_CELLS:,} cells")
    return {**value, "config": config.model_dump(mode="json")}


def check_cell(value: dict[str, Any], where: Path) -> dict[str, Any]:
    """Return a ``cell.json`` if it is one, of a finished or of a failed cell.

    Raises:
        DataError: It is none.
    """
    return check_record(value, FailedRecord if value.get("state") == "failed" else DoneRecord, where)


def parse_table(source: Path | pa.BufferReader, columns: Mapping[str, str], where: Path) -> pa.Table:
    """Read the columns of a Parquet table that are known, checked.

    Args:
        source: The file, or its bytes.
        columns: Names and what stands in each: :data:`TEXT`, :data:`INTEGER` or :data:`NUMBER`.
        where: What to call it in an error.

    Raises:
        DataError: It cannot be read, is too large, or a column is missing, of another type or holds what it must not.
    """
    try:
        # one file at a time: a folder of cells must not be taken for one partitioned data set
        with pq.ParquetFile(source) as file:
            _refuse_large(file, where)
            table = file.read(columns=list(columns)).replace_schema_metadata(None)
        table.validate(full=True)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes Arrow and its registered extensions raise almost anything
        raise DataError(f"cannot read {where}: {' '.join(str(error).split())[:300]}") from error
    for name, kind in columns.items():
        if table.column_names.count(name) != 1:
            raise DataError(f"{where} has no column '{name}', or several")
        _check_column(table.column(name), name, kind, where)
    return table


def table_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as a data frame; integers with gaps stay integers."""
    gappy = [field.name for field in table.schema if table.column(field.name).null_count and _fits(INTEGER, field.type)]
    frame = table.to_pandas(ignore_metadata=True)
    return frame.astype(dict.fromkeys(gappy, "Int64")) if gappy else frame


def _refuse_large(file: pq.ParquetFile, where: Path) -> None:
    groups = [file.metadata.row_group(number) for number in range(min(file.metadata.num_row_groups, MAX_ROWS))]
    if max(file.metadata.num_rows, sum(group.num_rows for group in groups)) > MAX_ROWS:
        raise DataError(f"{where} claims more than {MAX_ROWS:,} rows")
    if sum(group.total_byte_size for group in groups) > MAX_TABLE_BYTES:
        raise DataError(f"{where} claims more than {MAX_TABLE_BYTES:,} bytes")


def _check_column(column: pa.ChunkedArray, name: str, kind: str, where: Path) -> None:
    if len(column) and not _fits(kind.removesuffix(_NULLABLE), column.type):
        raise DataError(f"{where}: the column '{name}' holds {column.type}, not {kind.removesuffix(_NULLABLE)}")
    if column.null_count and not kind.endswith(_NULLABLE):
        raise DataError(f"{where}: the column '{name}' has {column.null_count:,} empty fields")
    allowed = _ALLOWED.get(name)
    if allowed and (odd := set(column.drop_null().unique().to_pylist()) - allowed):
        raise DataError(f"{where}: the column '{name}' holds {min(odd)!r}")
    if name.startswith("p_") and len(column) and not _are_fractions(column):
        raise DataError(f"{where}: the column '{name}' holds what is no probability")


def _are_fractions(column: pa.ChunkedArray) -> bool:
    within = pc.and_(pc.greater_equal(column, 0), pc.less_equal(column, 1))  # not-a-numbers are not
    return bool(pc.all(within).as_py())


def _fits(kind: str, found: pa.DataType) -> bool:
    if kind == TEXT:
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    integer = pa.types.is_signed_integer(found)
    return bool(integer or (kind == NUMBER and pa.types.is_floating(found)))
