"""The decoded array of each fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.cache import Cache
from harness.data.options import StainMethod
from harness.data.pixels import PixelStore, painted_store, stain_profiles
from harness.data.stain import Macenko
from harness.errors import DataError
from harness.planning.splits import Division
from harness.protocol.stains import by_slide, fitted_on_training
from harness.workers.messages import ImageRows, LabeledRows


@dataclass(frozen=True)
class DecodedRun:
    """The decoded images of a run.

    Attributes:
        stores: The decoded array of each (seed, fold). They are one and the same, unless colours are normalised by
            what stands on the sides of a fold.
    """

    stores: dict[tuple[int, int], PixelStore]

    def rows(self, seed: int, fold: int, images: pd.DataFrame) -> ImageRows:
        """Return where these images lie."""
        store = self.stores[seed, fold]
        return ImageRows(store.array_file, store.rows_of(images["sha256"]))

    def pixel_key(self, seed: int, fold: int) -> str:
        """Return a hash of how these images became pixels."""
        return self.stores[seed, fold].folder.name

    def labeled(self, seed: int, fold: int, images: pd.DataFrame) -> LabeledRows:
        """Return where these images lie, and their labels."""
        return LabeledRows(self.rows(seed, fold, images), images["label"].to_numpy(np.int64))


def pixels_of_folds(division: Division, plain: PixelStore, cache: Cache) -> DecodedRun:
    """Return the decoded array of each fold.

    Args:
        division: Who is where; its config says how colours are normalised.
        plain: The images as decoded, each normalised by itself if at all.
        cache: The cache.

    Raises:
        DataError: No training image of a fold shows enough tissue to fit stains on.
    """
    folds = list(division.splits[["seed", "fold"]].drop_duplicates().itertuples(index=False, name=None))
    stain = division.config.pixels.stain
    if stain not in {"slide", "fitted"}:
        return DecodedRun(dict.fromkeys(folds, plain))
    return _normalised_by_fold(stain, division, plain, folds, cache)


def _normalised_by_fold(
    method: StainMethod, division: Division, plain: PixelStore, folds: list[tuple[int, int]], cache: Cache
) -> DecodedRun:
    """Normalise colours by what stands on the sides of each fold; what is equal in several folds is painted once."""
    profiles = pd.Series(stain_profiles(plain), index=plain.index["sha256"], dtype=object)
    images = division.images.assign(profile=lambda table: table["sha256"].map(profiles))
    stores = {}
    for seed, fold in folds:
        here = division.splits[(division.splits["seed"] == seed) & (division.splits["fold"] == fold)]
        sides = images.assign(side=images["name"].map(here.set_index("image")["side"]))
        try:
            by_digest = by_slide(sides) if method == "slide" else fitted_on_training(sides)
        except ValueError as error:
            raise DataError(f"no training image of fold {fold} shows enough tissue to fit stains on") from error
        normalisers = [by_digest.get(digest, Macenko()) for digest in plain.index["sha256"]]
        stores[seed, fold] = painted_store(plain, normalisers, cache)
    return DecodedRun(stores)
