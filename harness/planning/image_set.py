"""The images of a run, found and listed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.cache import Cache, sealed_files
from harness.config.data_settings import DEFAULT_DATA_SET, DataSettings, is_generated
from harness.config.run_config import RunConfig
from harness.data.cohort import read_cohort
from harness.data.description import DataSetDescription
from harness.data.manifest import (
    DAMAGED,
    UNPARSED,
    USED,
    digest_files,
    digest_named,
    make_manifest,
    unread_note,
    used_images,
)
from harness.errors import DataError
from harness.locations import data_folder
from harness.plugin_api.data_set_answers import AskedDataSet, DataSetImages, ask_generated, ask_images

if TYPE_CHECKING:
    from harness.data.pixels import PixelStore

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ImageSet:
    """The images of a run.

    Attributes:
        config: The run's, with what it leaves to the data set.
        data_set: What the data set is.
        folder: Where they lie.
        manifest: Every image found, used or not.
        notes: What the data set says of the files.
        pixels: The decoded array of those that are used; None before they are decoded.
    """

    config: RunConfig
    data_set: DataSetDescription
    folder: Path
    manifest: pd.DataFrame
    notes: tuple[str, ...] = ()
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

    def file_notes(self) -> tuple[str, ...]:
        """Say in a line each what a person should know of the files."""
        unread = unread_note(self.folder) if self.config.data.table is None else None
        notes = (*self.notes, unread, _unparsed_note(self.manifest, self.data_set))
        return tuple(note for note in notes if note)

    @property
    def content(self) -> pd.Series[str] | None:
        """What is equal for used images of equal full-size pixels, by name; None before they are decoded."""
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
        DataError: There are none, or what is known of them contradicts itself.
        UsageError: There is no such data set, or it has no such option or stratum.
        PluginError: The data set's plugin fails.
    """
    folder = find_images(config.data, cache, on_progress)
    digests, found = _described(config.data, folder)
    manifest = make_manifest(folder, digests, found.records, found.description)
    whole = config.of_data_set(found.description.strata, found.options)
    return ImageSet(whole, found.description, folder, manifest, tuple(found.notes))


def _described(data: DataSettings, folder: Path) -> tuple[dict[str, str], DataSetImages]:
    """Have images described, by a table or by the data set of a plugin: sha256 of each file, and what it is.

    A table names its files; others in the folder are none of its images. A data set is asked of all that are there.
    """
    if data.table is None:
        generated = is_generated(data)
        digests = sealed_files(folder) if generated else digest_files(folder)
        return digests, ask_images(asked_data_set(data), folder, digests, generated=generated)
    cohort = read_cohort(data.table, data.columns, data.classes)
    digests = digest_named(folder, [image.file for image in cohort.images], data.table)
    return digests, DataSetImages(cohort.description, {}, cohort.images, [])


def asked_data_set(data: DataSettings) -> AskedDataSet:
    """Return the data set of a plugin that a config names."""
    return AskedDataSet(data.set, data.options, data.plugin)


def find_images(data: DataSettings, cache: Cache, on_progress: Progress | None = None) -> Path:
    """Return the folder of a config's images, generating them first if it asks for a phantom."""
    if is_generated(data):
        return generated_folder(data, cache, on_progress)
    folder = data.folder or (data_folder() / data.set if data.table is None else data.table.parent)
    if not folder.is_dir():
        fetch = (
            ", or get images with 'harness data fetch breakhis' or 'harness data phantom DIR'"
            if data.set == DEFAULT_DATA_SET and data.table is None
            else ""
        )
        raise DataError(f"no images: {folder} is not there - pass --data DIR{fetch}")
    return folder


def generated_folder(data: DataSettings, cache: Cache, on_progress: Progress | None = None) -> Path:
    """Return the cached folder of a config's generated images, making it first if need be."""
    settings = data.phantom
    if settings is None:
        raise ValueError("these settings generate no images")

    slides = ask_generated(
        asked_data_set(data), settings.accessions, settings.images, like_published=settings.like is not None
    )

    def make(folder: Path) -> None:
        from harness.synthetic.slides import write_slides  # noqa: PLC0415 - torch, for whoever generates

        write_slides(folder, slides, settings.size, settings.seed, named_progress(on_progress, "generating images"))

    # what is painted, not who planned it: a plugin that plans other pictures gets others
    painted = json.dumps([settings.size, settings.seed, [vars(slide) for slide in slides]])
    key = hashlib.sha256(painted.encode()).hexdigest()[:16]
    return cache.get("phantom", key, make)


def named_progress(on_progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """Return what reports progress under a name, or None where nobody watches."""
    return (lambda done, total: on_progress(name, done, total)) if on_progress else None


def _unparsed_note(manifest: pd.DataFrame, data_set: DataSetDescription) -> str | None:
    unparsed = manifest[manifest["state"] == UNPARSED]
    if unparsed.empty:
        return None
    named = ", ".join(unparsed["file"][:3]) + (", ..." if len(unparsed) > 3 else "")
    return f"{len(unparsed)} files are no images of {data_set.name}, and are left out: {named}"
