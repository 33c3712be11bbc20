"""The images of a run: found, listed, decoded, and what is damaged marked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.decode import PixelRecipe
from harness.data.manifest import DAMAGED, scan_folder, used_images
from harness.data.pixels import PixelStore, pixel_store
from harness.data.stain import PER_IMAGE
from harness.errors import DataError
from harness.locations import data_folder
from harness.synthetic.breakhis import SyntheticSettings, write_synthetic_breakhis

Progress = Callable[[str, int, int], None]
_NAMED = 5


@dataclass(frozen=True)
class ImageSet:
    """The images of a run.

    Attributes:
        folder: Where they lie.
        manifest: Every image found, used or not.
        pixels: The decoded array of those that are used; None before they are decoded.
    """

    folder: Path
    manifest: pd.DataFrame
    pixels: PixelStore | None = None

    @property
    def used(self) -> pd.DataFrame:
        """The rows of the manifest that take part."""
        return used_images(self.manifest)

    @property
    def decoded(self) -> PixelStore:
        """The decoded array.

        Raises:
            ValueError: They are not decoded yet.
        """
        if self.pixels is None:
            raise ValueError("these images are not decoded yet")
        return self.pixels

    @property
    def content(self) -> pd.Series[str] | None:
        """sha256 of each used image's pixels, by name; None before they are decoded."""
        if self.pixels is None:
            return None
        by_file = self.pixels.index.set_index("sha256")["content"]
        content: pd.Series[str] = self.used.set_index("name")["sha256"].map(by_file)
        return content


def scan_images(config: RunConfig, cache: Cache, on_progress: Progress | None = None) -> ImageSet:
    """Find and list the images of a config, generating them first if it asks for that.

    Raises:
        DataError: There are none, or their names contradict each other.
    """
    folder = find_images(config, cache, on_progress)
    return ImageSet(folder, scan_folder(folder, config.data.slide_13412))


def decode_images(config: RunConfig, images: ImageSet, cache: Cache, on_progress: Progress | None = None) -> ImageSet:
    """Decode the images, and mark those that are damaged.

    Raises:
        DataError: An image is damaged, and the config says to stop there.
    """
    settings, used = config.pixels, images.used
    recipe = PixelRecipe(settings.size, settings.resize, PER_IMAGE.get(settings.stain))
    files = used["file"].map(lambda file: str(images.folder / file))
    pixels = pixel_store(files, used["sha256"], recipe, cache, named_progress(on_progress, "decoding images"))
    return _mark_damaged(config, replace(images, pixels=pixels), pixels)


def _mark_damaged(config: RunConfig, images: ImageSet, pixels: PixelStore) -> ImageSet:
    errors, used, manifest = pixels.index.set_index("sha256")["error"], images.used, images.manifest
    damaged = used[used["sha256"].map(errors) != ""]
    if config.data.on_damaged == "stop" and len(damaged):
        named = "; ".join(f"{images.folder / row.file}: {errors[row.sha256]}" for row in damaged[:_NAMED].itertuples())
        more = f"; and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
        raise DataError(
            f"{len(damaged)} damaged image{'s' * (len(damaged) > 1)}: {named}{more} - replace them, or leave them out "
            "with -o data.on_damaged=skip"
        )
    bad = manifest["name"].isin(damaged["name"]) & (manifest["state"] == "used")
    return replace(images, manifest=manifest.assign(state=manifest["state"].mask(bad, DAMAGED)))


def find_images(config: RunConfig, cache: Cache, on_progress: Progress | None = None) -> Path:
    """Return the folder of the config's images, generating them first if it asks for a phantom."""
    if config.data.folder is None and config.data.phantom is not None:
        return synthetic_folder(config.data.phantom, cache, on_progress)
    folder = config.data.folder or data_folder() / "breakhis"
    if not folder.is_dir():
        raise DataError(
            f"no images: {folder} is not there - pass --data DIR, or get images with 'harness data fetch breakhis' "
            "or 'harness data phantom DIR'"
        )
    return folder


def synthetic_folder(settings: SyntheticSettings, cache: Cache, on_progress: Progress | None = None) -> Path:
    """Return the cached folder of these generated images, making it first if need be."""
    key = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]
    progress = named_progress(on_progress, "generating images")
    return cache.get("phantom", key, lambda folder: write_synthetic_breakhis(folder, settings, progress))


def named_progress(on_progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """Return what reports progress under a name, or None where nobody watches."""
    return (lambda done, total: on_progress(name, done, total)) if on_progress else None
