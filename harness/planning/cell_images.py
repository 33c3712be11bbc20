"""The images of cells and their sides: cells that differ in their model alone share them."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from harness.store.cells import Cell

if TYPE_CHECKING:  # pandas, for whoever has images
    import pandas as pd

    from harness.planning.splits import Division


class CellImages:
    """The images of the cells of a run.

    Args:
        division: Who is where.
    """

    def __init__(self, division: Division) -> None:
        images = division.images.sort_values("name")
        self._by_stratum, self._none = dict(iter(images.groupby("stratum"))), images.iloc[:0]
        sides = division.splits.set_index("image").groupby(["seed", "fold"])["side"]
        self._sides = dict(iter(sides))
        self._digest = cache(self._digest_at)

    def rows(self, cell: Cell) -> pd.DataFrame:
        """Return the images of a cell: the manifest's columns and ``side``, sorted by name."""
        return self._rows(cell.stratum, cell.seed, cell.fold)

    def digest(self, cell: Cell) -> str:
        """Return a hash of contents, sides and labels: the part "images and sides" of the cell's key."""
        return self._digest(cell.stratum, cell.seed, cell.fold)

    def counts(self, cell: Cell) -> Counter[str]:
        """Return how many images of a cell are on each side."""
        return Counter(self.rows(cell)["side"])

    def _rows(self, stratum: str, seed: int, fold: int) -> pd.DataFrame:
        images, sides = self._by_stratum.get(stratum, self._none), self._sides[seed, fold]
        return images.assign(side=images["name"].map(sides)).dropna(subset="side").reset_index(drop=True)

    def _digest_at(self, stratum: str, seed: int, fold: int) -> str:
        return hashlib.sha256("\n".join(_contents(self._rows(stratum, seed, fold))).encode()).hexdigest()


def _contents(rows: pd.DataFrame) -> list[str]:
    return sorted(rows["sha256"] + " " + rows["side"] + " " + rows["label"].astype(str))
