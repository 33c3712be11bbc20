"""New images decoded as those of a run were."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pandas as pd

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.decode import PixelRecipe
from harness.data.pixels import PixelStore, painted_store, pixel_store, stain_profiles
from harness.data.stain import PER_IMAGE, Macenko, StainNormaliser
from harness.errors import DataError
from harness.execution.new_images import NewImages
from harness.planning.decoded_run import decoded_as_run
from harness.protocol.stains import by_slide, fitted_on_training
from harness.store.run_store import RunStore

_NAMED = 5


class FoldColours:
    """Stain normalisers that a fold's models saw their images through, where these depend on other images.

    A new image is a slide of its own; the reference that was fitted on a fold's training images stays what it was, and
    a test image keeps the stains of its slide. Only the last two need the run's images.

    Args:
        store: The run's folder.
        config: The run's, with the folder of the images as it is now.
        cache: The cache, which holds the run's images.
    """

    def __init__(self, store: RunStore, config: RunConfig, cache: Cache) -> None:
        self._store, self._config, self._cache = store, config, cache

    def normalisers(self, seed: int, fold: int, digests: pd.Series[str]) -> list[StainNormaliser]:
        """Return a normaliser for each of these files.

        Raises:
            DataError: The run's images are needed and not there, or are not the run's.
        """
        if self._config.pixels.stain == "fitted":
            found = fitted_on_training(self._sides(seed, fold))
            return [next(iter(found.values()))] * len(digests)
        ours = digests.isin(self._store.read_manifest()["sha256"]).any()
        known = by_slide(self._sides(seed, fold)) if ours else {}
        return [known.get(digest, Macenko()) for digest in digests]

    def _sides(self, seed: int, fold: int) -> pd.DataFrame:
        """Return the run's images with ``side`` and ``profile``."""
        images, splits = self._profiled
        here = splits[(splits["seed"] == seed) & (splits["fold"] == fold)]
        return images.assign(side=images["name"].map(here.set_index("image")["side"]))

    @cached_property
    def _profiled(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The run's images with the stains of each, and their sides."""
        unstained = self._config.pixels.model_copy(update={"stain": "none"})
        config = self._config.model_copy(update={"pixels": unstained})
        manifest, splits = self._store.read_manifest(), self._store.read_splits()
        division, decoded = decoded_as_run(config, manifest, splits, self._cache)
        plain = next(iter(decoded.stores.values()))
        profiles: pd.Series[Any] = pd.Series(stain_profiles(plain), index=plain.index["sha256"], dtype=object)
        return division.images.assign(profile=lambda table: table["sha256"].map(profiles)), splits


class NewPixels:
    """The decoded array of new images, as the models of each fold are to see it.

    Args:
        images: The images; they are decoded at once, in helper processes.
        config: Of the run.
        colours: For the normalisations that depend on other images.
        scratch: A cache that nobody else uses.

    Raises:
        DataError: An image is damaged, or cannot be read.
    """

    def __init__(self, images: NewImages, config: RunConfig, colours: FoldColours, scratch: Cache) -> None:
        settings = config.pixels
        recipe = PixelRecipe(settings.size, settings.resize, PER_IMAGE.get(settings.stain))
        self._plain = pixel_store(images.table["path"], images.table["sha256"], recipe, scratch)
        self._as_decoded = settings.stain not in {"slide", "fitted"}
        self._colours, self._scratch = colours, scratch
        _refuse_damaged(images, self._plain)

    def store(self, seed: int, fold: int) -> PixelStore:
        """Return the decoded array for the models of a fold.

        Raises:
            DataError: Colours depend on the run's images, and these are not there.
        """
        if self._as_decoded:
            return self._plain
        normalisers = self._colours.normalisers(seed, fold, self._plain.index["sha256"])
        return painted_store(self._plain, normalisers, self._scratch)


def _refuse_damaged(images: NewImages, decoded: PixelStore) -> None:
    errors = images.table["sha256"].map(decoded.index.set_index("sha256")["error"])
    damaged = images.table.loc[errors != "", "image"]
    if len(damaged):
        named = "; ".join(f"{image}: {errors[row]}" for row, image in damaged.head(_NAMED).items())
        more = f"; and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
        raise DataError(
            f"{len(damaged)} damaged image{'s' * (len(damaged) > 1)}: {named}{more} - replace them, or leave them out"
        )
