"""Columns of a run folder's tables: one Arrow schema each, for writing and reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.data.names import CLASSES, MAGNIFICATIONS, stratum_name
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


_IMAGE = [*_text("slide", "accession", "type", "stratum"), *_integers("label")]
MANIFEST = pa.schema(
    [*_text("name", "file"), *_or_empty(_IMAGE), *_text("sha256"), *_integers("size"), *_text("state")]
)
SPLITS = pa.schema([*_text("image"), *_integers("fold", "seed"), *_text("side")])
PREDICTIONS = pa.schema(
    [
        *_text("side", "image", "slide", "accession", "type", "stratum", "model"),
        *_integers("fold", "seed", "label", "predicted"),
        *_numbers(*(f"p_{name}" for name in CLASSES)),
    ]
)
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

_ALLOWED: dict[str, frozenset[Any]] = {
    "side": frozenset({"train", "validation", "test"}),
    "label": frozenset(range(len(CLASSES))),
    "predicted": frozenset(range(len(CLASSES))),
}
_KINDS = {pa.string(): "text", pa.int64(): "integers", pa.float64(): "numbers"}
_STRATUM, _FORMERLY = "stratum", "magnification"


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
    return conform(pa.Table.from_pandas(frame, preserve_index=False), schema, where)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a table, checked.

    Raises:
        DataError: It is not there, cannot be read, is too large, or its columns are not those of the schema.
    """
    content = read_file(path, MAX_TABLE_BYTES)
    if content is None:
        raise DataError(f"cannot read {path}: it is not there")
    return parse_table(content, schema, path)


def parse_table(content: bytes, schema: pa.Schema, where: Path) -> pa.Table:
    """Read a table from its bytes, checked; see :func:`read_table`.

    Args:
        content: A Parquet file.
        schema: Its columns; others are passed over.
        where: What to call it in an error.
    """
    try:
        # one file at a time: a folder of cells must not be taken for one partitioned data set
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            _refuse_large(file, where)
            table = file.read(columns=[*schema.names, _FORMERLY])
        table.validate(full=True)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes Arrow and its registered extensions raise almost anything
        raise DataError(f"cannot read {where}: {' '.join(str(error).split())[:300]}") from error
    return conform(_upgraded(table, schema, where), schema, where)


def conform(table: pa.Table, schema: pa.Schema, where: Path) -> pa.Table:
    """Return the table with the columns of the schema, in its types.

    Raises:
        DataError: A column is missing, of another type or holds what it must not.
    """
    for field in schema:
        if table.column_names.count(field.name) != 1:
            raise DataError(f"{where} has no column '{field.name}', or several")
        _check_column(table.column(field.name), field, where)
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
    """Give a table of an earlier version, which held the magnification, its stratum."""
    if _STRATUM not in schema.names or _STRATUM in table.column_names or _FORMERLY not in table.column_names:
        return table
    if table.column_names.count(_FORMERLY) != 1 or not _fits(pa.int64(), table.column(_FORMERLY).type):
        raise DataError(f"{where}: the column '{_FORMERLY}' stands twice, or holds no integers")
    given = table.column(_FORMERLY).cast(pa.int64())
    if odd := set(given.drop_null().unique().to_pylist()) - set(MAGNIFICATIONS):
        raise DataError(f"{where}: the column '{_FORMERLY}' holds {min(odd)!r}")
    names = pa.array(map(stratum_name, MAGNIFICATIONS))
    return table.append_column(_STRATUM, pc.take(names, pc.index_in(given, pa.array(MAGNIFICATIONS))))


def _refuse_large(file: pq.ParquetFile, where: Path) -> None:
    groups = [file.metadata.row_group(number) for number in range(min(file.metadata.num_row_groups, MAX_ROWS))]
    if max(file.metadata.num_rows, sum(group.num_rows for group in groups)) > MAX_ROWS:
        raise DataError(f"{where} claims more than {MAX_ROWS:,} rows")
    if sum(group.total_byte_size for group in groups) > MAX_TABLE_BYTES:
        raise DataError(f"{where} claims more than {MAX_TABLE_BYTES:,} bytes")


def _check_column(column: pa.ChunkedArray, field: pa.Field, where: Path) -> None:
    if len(column) and not _fits(field.type, column.type):
        raise DataError(f"{where}: the column '{field.name}' holds {column.type}, not {_KINDS[field.type]}")
    if column.null_count and not field.nullable:
        raise DataError(f"{where}: the column '{field.name}' has {column.null_count:,} empty fields")
    allowed = _ALLOWED.get(field.name)
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
