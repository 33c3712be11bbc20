"""Columns of a run folder's tables: one Arrow schema each, for writing and reading."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.durable import replacing
from harness.errors import DataError
from harness.store.json_files import read_file

MAX_ROWS = 5_000_000
MAX_TABLE_BYTES = 2_000_000_000
"""Of a table's columns, unpacked; a few bytes of a file can claim any number of rows."""


def _text(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string(), nullable=False) for name in names]


def _integers(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.int64(), nullable=False) for name in names]


def _numbers(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.float64(), nullable=False) for name in names]


def _or_empty(fields: list[pa.Field]) -> list[pa.Field]:
    return [field.with_nullable(True) for field in fields]


_IMAGE = [*_text("group", "subgroup", "subtype", "stratum"), *_integers("label")]
MANIFEST = pa.schema(
    [*_text("name", "file"), *_or_empty(_IMAGE), *_text("facts", "sha256"), *_integers("size"), *_text("state")]
)
SPLITS = pa.schema([*_text("image"), *_integers("fold", "seed"), *_text("side")])
HISTORY = pa.schema(
    [
        *_text("stage"),
        *_integers("epoch"),
        *_or_empty(_numbers(*(f"train_{name}" for name in ("loss", "accuracy", "balanced_accuracy")))),
        *_or_empty(_numbers(*(f"validation_{name}" for name in ("loss", "accuracy", "balanced_accuracy")))),
        *_integers("images_seen"),
        *_numbers("train_seconds"),
    ]
)

_ALLOWED: dict[str, frozenset[Any]] = {"side": frozenset({"train", "validation", "test"})}
_FACTS = "facts"
_CLASSES_OF = ("label", "predicted")
_MOST_CLASSES = b"classes"
_KINDS = {pa.string(): "text", pa.int64(): "integers", pa.float64(): "numbers"}
_FORMERLY = {"group": "accession", "subgroup": "slide", "subtype": "type", "stratum": "magnification"}
"""What version 4 and those before it called a column; version 1 gave the magnification as an integer."""


def predictions_schema(classes: Sequence[str]) -> pa.Schema:
    """Return the columns of ``predictions.parquet``: a probability ``p_<class>`` for each class."""
    return pa.schema(
        [
            *_text("side", "image", "group", "subgroup", "subtype", "stratum", "model"),
            *_integers("fold", "seed", "label", "predicted"),
            *_numbers(*(f"p_{name}" for name in classes)),
        ],
        {_MOST_CLASSES: str(len(classes))},
    )


def write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Write a table, checked by the rules by which it will be read.

    Raises:
        DataError: A column is missing, of another type or holds what it must not.
        EnvironmentMissingError: There is no room for it, or it may not be written.
    """
    table = as_table(frame, schema, path)
    with replacing(path) as beside:
        pq.write_table(table, beside)


def as_table(frame: pd.DataFrame, schema: pa.Schema, where: Path) -> pa.Table:
    """Return a data frame as a table of the schema, checked by the rules by which it will be read.

    Raises:
        DataError: A column is missing, of another type or holds what it must not.
    """
    held = [name for name in schema.names if name in frame]
    return conform(pa.Table.from_pandas(frame[held], preserve_index=False), schema, where)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a table, checked.

    Raises:
        DataError: It is not there, cannot be read, is too large, or its columns are not those of the schema.
    """
    return parse_table(_content(path), schema, path)


def read_tables(paths: Sequence[Path], schema: pa.Schema) -> list[pa.Table]:
    """Read some tables, checked together, which is quicker; see :func:`read_table`."""
    tables = [_parsed(_content(path), schema, path) for path in paths]
    if tables and all(table.schema.equals(tables[0].schema) for table in tables):
        with contextlib.suppress(DataError):  # checked one by one, to find which
            whole = conform(pa.concat_tables(tables), schema, paths[0])
            ends = list(accumulate(map(len, tables)))
            return [whole.slice(end - len(table), len(table)) for end, table in zip(ends, tables, strict=True)]
    return [conform(table, schema, path) for table, path in zip(tables, paths, strict=True)]


def _content(path: Path) -> bytes:
    content = read_file(path, MAX_TABLE_BYTES)
    if content is None:
        raise DataError(f"cannot read {path}: it is not there")
    return content


def parse_table(content: bytes, schema: pa.Schema, where: Path) -> pa.Table:
    """Read a table from its bytes, checked; see :func:`read_table`.

    Args:
        content: A Parquet file.
        schema: Its columns; others are passed over.
        where: What to call it in an error.
    """
    return conform(_parsed(content, schema, where), schema, where)


def _parsed(content: bytes, schema: pa.Schema, where: Path) -> pa.Table:
    """Read a table from its bytes, with the columns of this version."""
    try:
        # one file at a time: a folder of cells must not be taken for one partitioned data set
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            _refuse_large(file, where)
            table = file.read(columns=[*schema.names, *_FORMERLY.values()], use_threads=False)
        table.validate(full=True)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes Arrow and its registered extensions raise almost anything
        raise DataError(f"cannot read {where}: {' '.join(str(error).split())[:300]}") from error
    return _upgraded(table, schema, where)


def conform(table: pa.Table, schema: pa.Schema, where: Path) -> pa.Table:
    """Return the table with the columns of the schema, in its types.

    Raises:
        DataError: A column is missing, of another type or holds what it must not.
    """
    names = table.column_names
    for field in schema:
        if names.count(field.name) != 1:
            raise DataError(f"{where} has no column '{field.name}', or several")
        _check_column(table.column(field.name), field, _allowed(field.name, schema), where)
    return pa.table({field.name: _cast(table.column(field.name), field.type) for field in schema}, schema=schema)


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    # a large integer as a number is rounded
    return column if column.type == wanted else column.cast(wanted, safe=False)


def table_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as a data frame; integers with gaps stay integers."""
    gappy = [field.name for field in table.schema if field.type == pa.int64() and table.column(field.name).null_count]
    frame = table.to_pandas(ignore_metadata=True)
    return frame.astype(dict.fromkeys(gappy, "Int64")) if gappy else frame


def _upgraded(table: pa.Table, schema: pa.Schema, where: Path) -> pa.Table:
    """Give a table of an earlier version the columns of this one."""
    for present, former in _FORMERLY.items():
        if present in schema.names and present not in table.column_names and former in table.column_names:
            if table.column_names.count(former) != 1:
                raise DataError(f"{where}: the column '{former}' stands twice")
            table = table.append_column(present, _as_text(table.column(former), former, where))
    if _FACTS in schema.names and _FACTS not in table.column_names:
        table = table.append_column(_FACTS, pa.array([""] * len(table), pa.string()))
    return table


def _as_text(column: pa.ChunkedArray, former: str, where: Path) -> pa.ChunkedArray:
    """Return a column of names; a magnification by its stratum, ``200x``."""
    if former != _FORMERLY["stratum"]:
        return column
    if not _fits(pa.int64(), column.type):
        raise DataError(f"{where}: the column '{former}' holds no integers")
    return pc.binary_join_element_wise(column.cast(pa.int64()).cast(pa.string()), "x", "")


def _allowed(name: str, schema: pa.Schema) -> frozenset[Any] | None:
    """Return what a column may hold; None for anything of its type."""
    classes = (schema.metadata or {}).get(_MOST_CLASSES)
    if name in _CLASSES_OF and classes is not None:
        return frozenset(range(int(classes)))
    return _ALLOWED.get(name)


def _refuse_large(file: pq.ParquetFile, where: Path) -> None:
    groups = [file.metadata.row_group(number) for number in range(min(file.metadata.num_row_groups, MAX_ROWS))]
    if max(file.metadata.num_rows, sum(group.num_rows for group in groups)) > MAX_ROWS:
        raise DataError(f"{where} claims more than {MAX_ROWS:,} rows")
    if sum(group.total_byte_size for group in groups) > MAX_TABLE_BYTES:
        raise DataError(f"{where} claims more than {MAX_TABLE_BYTES:,} bytes")


def _check_column(column: pa.ChunkedArray, field: pa.Field, allowed: frozenset[Any] | None, where: Path) -> None:
    if len(column) and not _fits(field.type, column.type):
        raise DataError(f"{where}: the column '{field.name}' holds {column.type}, not {_KINDS[field.type]}")
    if column.null_count and not field.nullable:
        raise DataError(f"{where}: the column '{field.name}' has {column.null_count:,} empty fields")
    if allowed and (odd := set(column.drop_null().unique().to_pylist()) - allowed):
        raise DataError(f"{where}: the column '{field.name}' holds {min(odd)!r}")
    if field.name.startswith("p_") and len(column) and not _are_fractions(column):
        raise DataError(f"{where}: the column '{field.name}' holds what is no probability")


def _are_fractions(column: pa.ChunkedArray) -> bool:
    within = pc.and_(pc.greater_equal(column, 0), pc.less_equal(column, 1))  # not-a-numbers are not
    return bool(pc.all(within).as_py())


def _fits(wanted: pa.DataType, found: pa.DataType) -> bool:
    if wanted == pa.string():
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    integer = pa.types.is_signed_integer(found)
    return bool(integer or (wanted == pa.float64() and pa.types.is_floating(found)))
