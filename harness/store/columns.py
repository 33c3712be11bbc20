"""Columns and bounds of a run folder's tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.data.names import MAGNIFICATIONS
from harness.errors import DataError

MAX_ROWS = 5_000_000
MAX_TABLE_BYTES = 2_000_000_000
"""Of a table's columns, unpacked; a few bytes of a file can claim any number of rows."""

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
