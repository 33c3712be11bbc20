"""The manifest: every image file of a folder, and whether it is used."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from harness.data.names import MAGNIFICATIONS, parse_stem, stratum_name
from harness.data.options import DuplicatePolicy
from harness.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
TWICE_PUBLISHED_SLIDE = "14-13412"
"""The slide that BreakHis holds under both DC and LC: the same pictures under two diagnoses."""

_MAX_DEPTH = 100

USED, DROPPED, REPEATED, UNPARSED, DAMAGED = "used", "dropped", "repeated", "unparsed", "damaged"
COLUMNS = ("name", "file", "slide", "accession", "type", "stratum", "label", "sha256", "size", "state")


def scan_folder(root: Path, policy: DuplicatePolicy = "drop-dc") -> pd.DataFrame:
    """List every image below ``root``, in whatever folders it lies.

    Args:
        root: The official tree, Kaggle's 400x tree, per-magnification folders or one flat folder.
        policy: What to do with slide 13412, which is published under two diagnoses: drop one copy or keep both.

    Returns:
        The manifest, sorted by name: ``name`` (official stem, no ending), ``file`` (below root), ``slide``,
        ``accession``, ``type``, ``stratum`` (such as ``200x``), ``label`` (Int64: 0 benign, 1 malignant), ``sha256``,
        ``size`` (bytes) and ``state``: ``used``, ``dropped`` (by ``policy``), ``repeated`` (the same file again in
        another folder) or ``unparsed`` (not an official name; its fields are empty).

    Raises:
        DataError: ``root`` is no folder, holds no image with an official name, or holds two different files under one
            name.
    """
    if not root.is_dir():
        raise DataError(f"no such folder: {root} - pass the folder that holds BreaKHis_v1, or the images themselves")
    paths = list(image_files(root))
    rows = [_row(root, path, digest, policy) for path, digest in zip(paths, sha256_of_files(paths), strict=True)]
    manifest = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"label": "Int64"})
    manifest = manifest.sort_values(["name", "file"], ignore_index=True)
    if not (manifest["state"] == USED).any():
        raise DataError(
            f"no BreakHis images in {root}: {len(paths)} image files, none with a name like SOB_B_A-14-22549AB-40-001"
        )
    return _mark_repeats(manifest)


def used_images(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that take part in a run, with plain integer columns."""
    used = manifest[manifest["state"] == USED]
    return used.astype({"label": "int64"}).reset_index(drop=True)


def count_table(images: pd.DataFrame) -> pd.DataFrame:
    """Count images by magnification and class, as table 1 of the paper does.

    Returns:
        Rows ``40x 100x 200x 400x total cases``, columns ``benign malignant total`` (int). A case is a slide under one
        diagnosis, which is how the literature reaches 82.
    """
    counts = (
        images.groupby(["stratum", "label"])
        .size()
        .unstack(fill_value=0)
        .reindex(map(stratum_name, MAGNIFICATIONS), fill_value=0)
    )
    counts = counts.reindex(columns=[0, 1], fill_value=0)
    cases = images.drop_duplicates(["type", "slide"]).groupby("label").size()
    counts.loc["total"] = counts.sum()
    counts.loc["cases"] = cases.reindex([0, 1], fill_value=0)
    counts.columns = pd.Index(["benign", "malignant"])
    return counts.assign(total=counts.sum(axis=1)).astype(int)


def image_files(root: Path) -> Iterator[Path]:
    """Yield the image files below ``root`` in a fixed order, by ending; hidden folders are passed over.

    Links are followed to files inside ``root`` only, and folders that are links not at all.

    Raises:
        DataError: A folder cannot be listed or lies too deep; a link leads out of ``root``; something with an image's
            ending is no file (a folder, a pipe, a device), or its name is no text.
    """
    inside = Path(os.path.realpath(root))
    for folder, subfolders, files in os.walk(root, onerror=_refuse_unlisted):
        if folder.count(os.sep) > str(root).count(os.sep) + _MAX_DEPTH:
            raise DataError(f"the folders in {root} are nested more than {_MAX_DEPTH} deep - pass one further down")
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in subfolders:
            _refuse_folder(Path(folder, name), inside)
        for name in sorted(files):
            if _is_image_name(name) and not name.startswith("."):
                path = Path(folder, name)
                _refuse_irregular(path, inside)
                yield path


def _is_image_name(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _refuse_unlisted(error: OSError) -> None:
    raise DataError(f"cannot list the folder {error.filename}: {error.strerror}") from error


def _refuse_folder(path: Path, inside: Path) -> None:
    if _is_image_name(path.name):
        raise DataError(f"{path} is a folder with the ending of an image - rename it or move it away")
    _refuse_link_out(path, inside)


def _refuse_irregular(path: Path, inside: Path) -> None:
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise DataError(f"the name {shown} is not in UTF-8 - rename the file or its folder") from None
    _refuse_link_out(path, inside)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if not regular:
        raise DataError(f"{path} is no file but a pipe, a socket or a device - move it away")


def _refuse_link_out(path: Path, inside: Path) -> None:
    if path.is_symlink() and not (target := Path(os.path.realpath(path))).is_relative_to(inside):
        raise DataError(
            f"{path} is a link to {target}, out of the folder; such links are not followed - put a copy in its place"
        )


def sha256_of_files(paths: list[Path]) -> list[str]:
    """Hash files in parallel; hashing releases the interpreter's lock, so threads serve."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(sha256_of_file, paths))


def sha256_of_file(path: Path) -> str:
    """Hash a file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _row(root: Path, path: Path, digest: str, policy: DuplicatePolicy) -> dict[str, Any]:
    file = {"file": path.relative_to(root).as_posix(), "sha256": digest, "size": path.stat().st_size}
    name = parse_stem(path.stem)
    if name is None:
        return {"name": path.stem, "state": UNPARSED, **file}
    dropped = name.slide == TWICE_PUBLISHED_SLIDE and policy == f"drop-{name.tumour_type.lower()}"
    return {
        "name": name.stem,
        "slide": name.slide,
        "accession": name.accession,
        "type": name.tumour_type,
        "stratum": stratum_name(name.magnification),
        "label": name.label,
        "state": DROPPED if dropped else USED,
        **file,
    }


def _mark_repeats(manifest: pd.DataFrame) -> pd.DataFrame:
    """Keep the first of several identical files of one name; refuse different files under one name."""
    parsed = manifest[manifest["state"] != UNPARSED]
    contents = parsed.groupby("name")["sha256"].nunique()
    if (contents > 1).any():
        name = str(contents.index[contents > 1][0])
        files = ", ".join(parsed.loc[parsed["name"] == name, "file"])
        raise DataError(f"{name} names different images: {files} - keep one of them")
    repeated = (manifest["state"] == USED) & manifest.duplicated("name")
    return manifest.assign(state=manifest["state"].mask(repeated, REPEATED))
