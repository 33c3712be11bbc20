"""Rows of many tables in little memory: texts as categories, integers no wider than they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from harness.store.columns import read_tables
from harness.threads import map_in_threads

_BATCH = 128
"""Tables that are held as they are at once."""


def read_rows(files: Sequence[Path], schema: pa.Schema) -> pd.DataFrame:
    """Read tables one below the other.

    Args:
        files: Parquet files of the same columns; a run of 10,000 cells has as many, of eight million rows.
        schema: Their columns.

    Returns:
        Texts are categories in the order of the alphabet, integers as narrow as all values of a column allow.

    Raises:
        DataError: One of them is not there, or not as the schema says.
    """
    columns = {field.name: _Column.of(field.type) for field in schema}

    def encoded(batch: list[Path]) -> dict[str, Any]:
        table = pa.concat_tables(read_tables(batch, schema))
        return {name: column.encoded(table.column(name)) for name, column in columns.items()}

    for batch in map_in_threads(encoded, batches(files)):
        for name, column in columns.items():
            column.add(batch[name])
    pa.default_memory_pool().release_unused()
    return pd.DataFrame({name: column.finish() for name, column in columns.items()}, copy=False)


def decoded(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with texts and integers as they are stored."""
    kinds = {
        name: "str" if isinstance(kind, pd.CategoricalDtype) else "int64"
        for name, kind in rows.dtypes.items()
        if isinstance(kind, pd.CategoricalDtype) or kind.kind == "i"
    }
    return rows.astype(kinds)


def batches(files: Iterable[Path]) -> Iterator[list[Path]]:
    """Yield files some at a time: all of their tables at once would take much memory."""
    rest = iter(files)
    while batch := list(islice(rest, _BATCH)):
        yield batch


class _Column:
    """A column that grows batch by batch."""

    def __init__(self) -> None:
        self._parts: list[NDArray[Any]] = []

    @staticmethod
    def of(kind: pa.DataType) -> _Column:
        return {pa.string(): _Texts, pa.int64(): _Integers}.get(kind, _Column)()

    def encoded(self, column: pa.ChunkedArray) -> Any:
        """Return what a batch is held as; of several batches at once, each in a thread."""
        return column.to_numpy()

    def add(self, encoded: Any) -> None:
        self._parts.append(encoded)

    def finish(self) -> Any:
        return self._whole()

    def _whole(self) -> NDArray[Any]:
        parts, self._parts = self._parts, []
        return np.concatenate(parts)


class _Integers(_Column):
    """Integers."""

    def encoded(self, column: pa.ChunkedArray) -> Any:
        return _narrowed(column.to_numpy())


class _Texts(_Column):
    """Texts, as places in the list of all that were found."""

    def __init__(self) -> None:
        super().__init__()
        self._codes: dict[str, int] = {}

    def encoded(self, column: pa.ChunkedArray) -> Any:
        found = column.combine_chunks().dictionary_encode()
        return found.dictionary.to_pylist(), _narrowed(found.indices.to_numpy())

    def add(self, encoded: Any) -> None:
        texts, places = encoded
        known = [self._codes.setdefault(text, len(self._codes)) for text in texts]
        self._parts.append(_narrowed(np.array(known, np.int64))[places])

    def finish(self) -> pd.Categorical:
        texts = np.array([*self._codes], object)
        order = np.argsort(texts)
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        codes = _narrowed(places)[self._whole()]
        return pd.Categorical.from_codes(codes, pd.Index(texts[order], dtype="str"))


def _narrowed(values: NDArray[np.int64]) -> NDArray[Any]:
    """Return integers in the narrowest signed type that holds them all."""
    bounds = (values.min(), values.max()) if len(values) else (0, 0)
    return values.astype(
        np.result_type(*(np.min_scalar_type(min(-1, int(bound), -int(bound) - 1)) for bound in bounds))
    )
