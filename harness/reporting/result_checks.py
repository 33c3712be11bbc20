"""Checks that the tables of a run folder belong to its cells and to its images."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.manifest import USED
from harness.errors import DataError
from harness.protocol.names import TEST, TRAIN, VALIDATION
from harness.store.encoded import decoded
from harness.store.run_store import RunStore
from harness.store.schema import DoneRecord

CELL = ("model", "stratum", "fold", "seed")
"""What tells a cell from others, as columns."""

PLACE = attrgetter(*CELL)
"""A cell's values in those columns, of its record."""

_TESTED = (VALIDATION, TEST)
_FACTS = ["image", "group", "subgroup", "subtype", "stratum", "label"]


def refuse_other_rows(
    store: RunStore, cells: dict[str, DoneRecord], predictions: pd.DataFrame, epochs: dict[str, int]
) -> None:
    """Refuse tables that do not belong to their cells: numbers would be made of what is not there."""
    wanted = {
        (*PLACE(record), side): name
        for name, record in cells.items()
        for side in ((TEST,) if record.scored else _TESTED)
    }
    places = [*CELL, "side"]
    found = set(_distinct(predictions, places).itertuples(index=False, name=None))
    wrong = [name for place, name in wanted.items() if place not in found]
    if wrong or len(found) > len(wanted) or _are_some_twice(predictions, [*places, "image"]):
        named = f"{wrong[0]}/predictions.parquet" if wrong else "*/predictions.parquet"
        raise DataError(f"{store.folder}/cells/{named} holds rows of another cell, or not its own - run it again")
    for name, record in cells.items():
        if epochs.get(name, 0) != record.epochs:
            raise DataError(f"{store.folder}/cells/{name}/history.parquet has not its cell's epochs - run it again")


def refuse_other_images(
    store: RunStore, manifest: pd.DataFrame, splits: pd.DataFrame, predictions: pd.DataFrame
) -> None:
    """Refuse predictions of images that the manifest does not know like that, and divisions without a side."""
    images = manifest[manifest["state"] == USED].rename(columns={"name": "image"})
    if images[_FACTS].isna().any(axis=None) or images["image"].duplicated().any():
        raise DataError(f"{store.folder}/manifest.parquet does not say of every image what it is - get the folder anew")
    named = decoded(_distinct(predictions, _FACTS))
    if len(named.merge(images[_FACTS])) < len(named):
        raise DataError(f"{store.folder}: predictions and manifest.parquet contradict each other - get the folder anew")
    strata = splits["image"].map(images.set_index("image")["stratum"])
    for stratum in named["stratum"].unique():
        if not {TRAIN, TEST} <= set(splits.loc[strata == stratum, "side"].unique()):
            raise DataError(f"{store.folder}/splits.parquet has no training or no test images at {stratum}")


def _distinct(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return some columns without the rows that stand twice."""
    return rows.loc[~pd.Series(_numbered(rows, columns)).duplicated().to_numpy(), columns]


def _are_some_twice(rows: pd.DataFrame, columns: list[str]) -> bool:
    """Whether two rows agree in all these columns."""
    numbers = _numbered(rows, columns)
    numbers.sort()
    return bool((numbers[1:] == numbers[:-1]).any())


def _numbered(rows: pd.DataFrame, columns: list[str]) -> NDArray[np.int64]:
    """Number rows such that two have one number where they agree in all these columns."""
    numbers = np.zeros(len(rows), np.int64)
    for name in columns:
        column = rows[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes, found = column.cat.codes.to_numpy(), column.cat.categories
        else:
            codes, found = pd.factorize(column)
        numbers *= len(found)
        numbers += codes
    return numbers
