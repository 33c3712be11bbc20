"""Folders of images: held against what is published, fetched, generated, audited."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.cache import Cache
from harness.config.config_files import load_config
from harness.config.data_settings import DEFAULT_DATA_SET, DataSettings
from harness.config.run_config import RunConfig
from harness.data.fetch import LC25000, Fetched, FetchReport, fetch
from harness.data.manifest import digest_files
from harness.data.verify import Published, VerifyReport, verify_files
from harness.errors import DataError, NoImagesError, UsageError
from harness.locations import cache_folder
from harness.planning.image_set import ImageSet, asked_data_set, scan_images
from harness.plugin_api.data_set_answers import AskedDataSet, PublishedSet, ask_generated, ask_images, ask_published
from harness.synthetic.settings import SyntheticSettings

if TYPE_CHECKING:
    from harness.audit.report import AuditReport

Progress = Callable[[int, int], None]


def verify_folder(folder: Path, on_progress: Progress | None = None, data_set: str = DEFAULT_DATA_SET) -> VerifyReport:
    """Hold the images in a folder against the files of a data set as its authors publish them.

    Args:
        folder: In any layout.
        on_progress: Called with the number of files that are done and the number of all files.
        data_set: Its name.

    Raises:
        UsageError: There is no such data set, or it does not say what is published.
        DataError: There is no such folder, or no image in it.
    """
    asked = AskedDataSet(data_set, {})
    return _verified(asked, _published(data_set, ask_published(asked)), folder, on_progress)


def fetch_data_set(
    name: str, folder: Path, url: str | None = None, on_progress: Callable[[int, int | None], None] | None = None
) -> FetchReport:
    """Download a data set, unpack it and check every file; see :func:`~harness.data.fetch.fetch`.

    Args:
        name: Of a data set, or ``lc25000``.
        folder: Where to put it.
        url: Address of the archive, instead of the public one.
        on_progress: Called while the archive arrives.
    """
    if name == LC25000:
        return fetch(Fetched(LC25000, None, None), folder, url, on_progress)
    asked = AskedDataSet(name, {})
    found = ask_published(asked)
    published = _published(name, found)
    wanted = Fetched(name, found.archive or None, lambda images: _verified(asked, published, images, None))
    return fetch(wanted, folder, url, on_progress)


def generate_images(
    folder: Path, settings: SyntheticSettings, data: DataSettings | None = None, on_progress: Progress | None = None
) -> int:
    """Write generated slides that stand in for a data set; return how many.

    Args:
        folder: A new or empty folder.
        settings: What to generate.
        data: Of which data set; BreakHis by default.
        on_progress: Called with the number of pictures done and the number of all.
    """
    from harness.synthetic.slides import write_slides  # noqa: PLC0415 - torch, for this call alone

    asked = asked_data_set(data or DataSettings())
    slides = ask_generated(asked, settings.accessions, settings.images, like_published=settings.like is not None)
    write_slides(folder, slides, settings.size, settings.seed, on_progress)
    return len(slides)


def audit_folder(
    folder: Path | str | None = None,
    seed: int = 0,
    figures: Path | None = None,
    config: str | Path | None = None,
    on_progress: Progress | None = None,
) -> AuditReport:
    """Audit images: copies, near-copies, odd pictures, shortcuts, and leaks of each protocol.

    Args:
        folder: Where they lie; the config's by default.
        seed: Of the divisions that are tried.
        figures: A folder for pictures of whites and of stain options.
        config: The config whose data set it is, a path or a shipped one's name; without one it is BreakHis, or LC25000
            where the folder looks like that.
        on_progress: Called with (images looked at, images in all).

    Raises:
        DataError: There are no such images, or their files contradict each other.
    """
    from harness.audit import survey  # noqa: PLC0415 - scikit-learn, for this call alone

    place = None if folder is None else Path(folder)
    if config is None and place is None:
        raise UsageError("nothing to audit: name a folder, or a config with --config")
    if config is None and place is not None and not place.is_dir():
        raise DataError(f"no such folder: {place} - pass the folder that holds the images")
    if config is None and place is not None and survey.is_lung(place):
        return survey.audit_lung(place, seed, on_progress)
    images = _scanned(place, config)
    audited = survey.AuditedImages(images.folder, images.manifest, images.data_set, images.notes)
    return survey.audit_images(audited, seed, on_progress, figures)


def _scanned(folder: Path | None, config: str | Path | None) -> ImageSet:
    wanted = RunConfig(models={"majority": {}}) if config is None else load_config(str(config))[1]
    try:
        return scan_images(wanted.with_data_folder(folder), Cache(cache_folder(), lambda _: None))
    except NoImagesError as error:
        others = (
            "LC25000 has a folder lung_colon_image_set and a groups.csv; name the config of any other with --config"
        )
        raise NoImagesError(f"{error} - {others}" if config is None else str(error)) from None


def _published(name: str, found: PublishedSet) -> Published:
    if not found.files:
        raise UsageError(f"data set {name} does not say which files are published, so there is nothing to hold against")
    classes = found.description.classes
    rows = {
        record.name: (digest, classes.index(record.label), record.stratum, record.subtype, record.groups[-1])
        for record, digest in found.files
    }
    columns = ["sha256", "label", "stratum", "subtype", "subgroup"]
    return Published(found.description, pd.DataFrame.from_dict(rows, orient="index", columns=columns))


def _verified(asked: AskedDataSet, published: Published, folder: Path, on_progress: Progress | None) -> VerifyReport:
    digests = digest_files(folder, on_progress)
    notes = ask_images(asked, folder, digests, generated=True).notes
    return verify_files(folder, digests, published, notes)
