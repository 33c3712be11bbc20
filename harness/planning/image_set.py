"""The images of a run, found and listed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.manifest import DAMAGED, USED, scan_folder, used_images
from harness.errors import DataError
from harness.locations import data_folder
from harness.synthetic.settings import SyntheticSettings

if TYPE_CHECKING:
    from harness.data.pixels import PixelStore

Progress = Callable[[str, int, int], None]


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


def mark_damaged(images: ImageSet, damaged: pd.Series[str]) -> ImageSet:
    """Leave out the used images whose files have these sha256."""
    manifest = images.manifest
    bad = manifest["sha256"].isin(damaged) & (manifest["state"] == USED)
    return replace(images, manifest=manifest.assign(state=manifest["state"].mask(bad, DAMAGED)))


def scan_images(config: RunConfig, cache: Cache, on_progress: Progress | None = None) -> ImageSet:
    """Find and list the images of a config, generating them first if it asks for that.

    Raises:
        DataError: There are none, or their names contradict each other.
    """
    folder = find_images(config, cache, on_progress)
    return ImageSet(folder, scan_folder(folder, config.data.slide_13412))


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

    def make(folder: Path) -> None:
        from harness.synthetic.breakhis import write_synthetic_breakhis  # noqa: PLC0415 - torch, for whoever generates

        write_synthetic_breakhis(folder, settings, named_progress(on_progress, "generating images"))

    key = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]
    return cache.get("phantom", key, make)


def named_progress(on_progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """Return what reports progress under a name, or None where nobody watches."""
    return (lambda done, total: on_progress(name, done, total)) if on_progress else None
