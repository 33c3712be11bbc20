"""The source sets that models are pre-trained on, and the weights that they start from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from harness.cache import Cache
from harness.config.data_settings import SourceSettings
from harness.config.run_config import RunConfig
from harness.data.decode import PixelRecipe
from harness.data.pixels import PIXEL_VERSION, PixelStore, pixel_store
from harness.data.sources import HELD_OUT_SIDES, SourceManifest, scan_source
from harness.data.stain import PER_IMAGE, Macenko
from harness.errors import DataError
from harness.locations import data_folder
from harness.planning.models import ModelEntry
from harness.planning.scan import Progress, named_progress
from harness.store.keys import hash_of
from harness.synthetic.sources import write_synthetic_lung, write_synthetic_natural
from harness.workers.messages import ImageRows, LabeledRows, SourceRows


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


def pretraining_fingerprints(entries: list[ModelEntry], sources: dict[str, SourceRows]) -> dict[str, Any]:
    """Fingerprint what each model starts from: weights by content, source sets by images and sides."""
    needs = {}
    for entry in entries:
        requirements = entry.requirements()
        needs[entry.label] = {
            "sources": {name: sources[name].fingerprint for name in requirements.sources},
            "files": [hashlib.sha256(file.read_bytes()).hexdigest() for file in requirements.files],
        }
    return needs


def _decode_source(name: str, label: str, config: RunConfig, cache: Cache, on_progress: Progress | None) -> SourceRows:
    if name not in config.sources:
        raise DataError(f"model '{label}' is pre-trained on source '{name}', which the config does not have")
    folders = _locate_source(name, label, config, cache, on_progress)
    manifest = scan_source(config.sources[name].kind, folders).require_training()
    # natural images have no stain; lung slides are stained like breast slides and painted like them, each by itself
    method = config.pixels.stain if config.sources[name].kind == "lc25000" else "none"
    stain = Macenko() if method in {"slide", "fitted"} else PER_IMAGE.get(method)
    recipe = PixelRecipe(config.pixels.size, config.pixels.resize, stain)
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
        return (_synthetic_source(settings, cache, on_progress),)
    given = settings.folder or data_folder() / name
    folders = (given,) if isinstance(given, Path) else given
    for folder in folders:
        if not folder.is_dir():
            raise DataError(
                f"model '{label}' is pre-trained on source '{name}', but {folder} is not there - set it with "
                f"-o sources.{name}.folder=DIR, or leave the model out with --models"
            )
    return folders


def _synthetic_source(settings: SourceSettings, cache: Cache, on_progress: Progress | None) -> Path:
    def make(folder: Path) -> None:
        if on_progress:
            on_progress(f"generating {settings.kind} images", 0, 1)
        (write_synthetic_lung if settings.kind == "lc25000" else write_synthetic_natural)(folder)

    return cache.get("phantom", settings.kind, make)
