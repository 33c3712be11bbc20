"""The source sets that models are pre-trained on, and the weights that they start from."""

from __future__ import annotations

import numpy as np

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.decode import PixelRecipe
from harness.data.manifest import sha256_of_file
from harness.data.pixels import PixelStore, pixel_store
from harness.data.sources import HELD_OUT_SIDES, SourceManifest
from harness.data.stain import PER_IMAGE, Macenko
from harness.data.version import PIXEL_VERSION
from harness.errors import DataError
from harness.planning.image_set import Progress, named_progress
from harness.planning.models import ModelEntry
from harness.planning.sources import scan_source_set
from harness.plugin_api.model import Requirements
from harness.store.keys import hash_of
from harness.store.schema import StartRecord
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


def pretraining_starts(entries: list[ModelEntry], sources: dict[str, SourceRows]) -> dict[str, StartRecord]:
    """Fingerprint what each model starts from, by label: weights by content, source sets by images and sides."""
    return {entry.label: _start(entry.requirements(), sources) for entry in entries}


def _start(requirements: Requirements, sources: dict[str, SourceRows]) -> StartRecord:
    return StartRecord(
        sources={name: sources[name].fingerprint for name in requirements.sources},
        files={str(file): sha256_of_file(file) for file in requirements.files},
    )


def _decode_source(name: str, label: str, config: RunConfig, cache: Cache, on_progress: Progress | None) -> SourceRows:
    manifest = scan_source_set(name, label, config, cache, on_progress)
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
