"""Pixels and labels for workers: decoded once, handed over as rows of an array on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.cache import Cache
from harness.config.data_settings import PixelSettings, SourceSettings
from harness.config.run_config import RunConfig
from harness.data.decode import PixelRecipe
from harness.data.manifest import DAMAGED
from harness.data.pixels import PIXEL_VERSION, PixelStore, painted_store, pixel_store, stain_profiles
from harness.data.sources import HELD_OUT_SIDES, SourceManifest, scan_source
from harness.data.stain import PER_IMAGE, Macenko, StainMethod, StainNormaliser
from harness.errors import DataError
from harness.locations import data_folder
from harness.planning.models import ModelEntry
from harness.planning.splits import Division, Progress, named_progress
from harness.protocol.gate import find_picture_leak, pass_gate
from harness.protocol.stains import by_slide, fitted_on_training
from harness.store.keys import hash_of
from harness.synthetic.sources import write_synthetic_lung, write_synthetic_natural
from harness.workers.messages import ImageRows, LabeledRows, SourceRows

_NAMED = 5


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


def decode_run(
    config: RunConfig, division: Division, cache: Cache, on_progress: Progress | None = None
) -> tuple[Division, DecodedRun]:
    """Decode a run's images; then the rest of the gate: damaged images, and pictures on two sides.

    Returns:
        The division, without damaged images if the config says to skip them, and the decoded images.

    Raises:
        DataError: An image is damaged, and the config says to stop there.
        SplitLeakError: One picture is on two sides, and the config does not allow it.
    """
    images, settings = division.images, config.pixels
    recipe = _recipe(settings, PER_IMAGE.get(settings.stain))
    store = _decode(division.folder, images, recipe, cache, on_progress)
    division = _mark_damaged(config, division, images, store)
    by_file = store.index.set_index("sha256")["content"]
    used = division.images.set_index("name")
    leak = find_picture_leak(division.splits, used["sha256"].map(by_file))
    leaks = [*division.leaks, leak] if leak else division.leaks
    pass_gate(leaks, allow_leak=config.allow_leak)
    division = replace(division, leaks=leaks)
    folds = list(division.splits[["seed", "fold"]].drop_duplicates().itertuples(index=False, name=None))
    if settings.stain not in {"slide", "fitted"}:
        return division, DecodedRun(dict.fromkeys(folds, store))
    return division, _normalised_by_fold(settings.stain, division, store, folds, cache)


def decode_sources(
    config: RunConfig, entries: list[ModelEntry], cache: Cache, on_progress: Progress | None = None
) -> dict[str, SourceRows]:
    """Find and decode the source sets that the models ask for.

    Raises:
        DataError: A source set or a file of weights is missing; the message names the model that asks for it.
    """
    wanted: dict[str, str] = {}
    for entry in entries:
        requirements = entry.requirements()
        for file in requirements.files:
            if not file.is_file():
                raise DataError(f"model '{entry.label}' starts from weights that are not there: {file}")
        wanted.update(dict.fromkeys(requirements.sources, entry.label))
    return {name: _decode_source(name, label, config, cache, on_progress) for name, label in wanted.items()}


def starting_needs(entries: list[ModelEntry], sources: dict[str, SourceRows]) -> dict[str, Any]:
    """Fingerprint what each model starts from: weights by content, source sets by images and sides."""
    needs = {}
    for entry in entries:
        requirements = entry.requirements()
        needs[entry.label] = {
            "sources": {name: sources[name].fingerprint for name in requirements.sources},
            "files": [hashlib.sha256(file.read_bytes()).hexdigest() for file in requirements.files],
        }
    return needs


def _recipe(settings: PixelSettings, stain: StainNormaliser | None) -> PixelRecipe:
    return PixelRecipe(settings.size, settings.resize, stain)


def _decode(
    folder: Path, images: pd.DataFrame, recipe: PixelRecipe, cache: Cache, on_progress: Progress | None
) -> PixelStore:
    files = images["file"].map(lambda file: str(folder / file))
    return pixel_store(files, images["sha256"], recipe, cache, named_progress(on_progress, "decoding images"))


def _mark_damaged(config: RunConfig, division: Division, images: pd.DataFrame, store: PixelStore) -> Division:
    errors = store.index.set_index("sha256")["error"]
    damaged = images[images["sha256"].map(errors) != ""]
    if damaged.empty:
        return division
    if config.data.on_damaged == "stop":
        named = "; ".join(
            f"{division.folder / row.file}: {errors[row.sha256]}" for row in damaged[:_NAMED].itertuples()
        )
        more = f"; and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
        raise DataError(
            f"{len(damaged)} damaged image{'s' * (len(damaged) > 1)}: {named}{more} - replace them, or leave them out "
            "with -o data.on_damaged=skip"
        )
    manifest, splits = division.manifest, division.splits
    bad = manifest["name"].isin(damaged["name"]) & (manifest["state"] == "used")
    return replace(
        division,
        manifest=manifest.assign(state=manifest["state"].mask(bad, DAMAGED)),
        splits=splits[~splits["image"].isin(damaged["name"])].reset_index(drop=True),
    )


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


def _decode_source(name: str, label: str, config: RunConfig, cache: Cache, on_progress: Progress | None) -> SourceRows:
    if name not in config.sources:
        raise DataError(f"model '{label}' is pre-trained on source '{name}', which the config does not have")
    folders = _locate_source(name, label, config, cache, on_progress)
    manifest = scan_source(config.sources[name].kind, folders).require_training()
    # natural images have no stain; lung slides are stained like breast slides and painted like them, each by itself
    method = config.pixels.stain if config.sources[name].kind == "lc25000" else "none"
    recipe = _recipe(config.pixels, Macenko() if method in {"slide", "fitted"} else PER_IMAGE.get(method))
    images = manifest.images
    store = pixel_store(
        images["file"], images["sha256"], recipe, cache, named_progress(on_progress, f"decoding {name}")
    )
    damaged = store.index[store.index["error"] != ""]
    if len(damaged):
        file = images.loc[images["sha256"] == damaged["sha256"].iloc[0], "file"].iloc[0]
        raise DataError(
            f"{len(damaged)} damaged images in source '{name}', the first is {file}: {damaged['error'].iloc[0]}"
        )
    return SourceRows(
        manifest.classes,
        manifest.fingerprint,
        hash_of([PIXEL_VERSION, repr(recipe)]),
        train=_source_side(manifest, store, "train"),
        validation=_source_side(manifest, store, "validation"),
        held_out={side: _source_side(manifest, store, side) for side in HELD_OUT_SIDES if side in manifest.sides},
    )


def _source_side(manifest: SourceManifest, store: PixelStore, side: str) -> LabeledRows:
    images = manifest.images[manifest.images["side"] == side]
    return LabeledRows(ImageRows(store.array_file, store.rows_of(images["sha256"])), images["label"].to_numpy(np.int64))


def _locate_source(
    name: str, label: str, config: RunConfig, cache: Cache, on_progress: Progress | None
) -> tuple[Path, ...]:
    """Return the folders of a source set, generating it first if the config asks for that."""
    settings = config.sources[name]
    if settings.folder is None and settings.phantom:
        return (_phantom_source(settings, cache, on_progress),)
    given = settings.folder or data_folder() / name
    folders = (given,) if isinstance(given, Path) else given
    for folder in folders:
        if not folder.is_dir():
            raise DataError(
                f"model '{label}' is pre-trained on source '{name}', but {folder} is not there - set it with "
                f"-o sources.{name}.folder=DIR, or leave the model out with --models"
            )
    return folders


def _phantom_source(settings: SourceSettings, cache: Cache, on_progress: Progress | None) -> Path:
    def make(folder: Path) -> None:
        if on_progress:
            on_progress(f"generating {settings.kind} images", 0, 1)
        (write_synthetic_lung if settings.kind == "lc25000" else write_synthetic_natural)(folder)

    return cache.get("phantom", settings.kind, make)
