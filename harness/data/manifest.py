"""The manifest: every image file of a folder, and whether it is used."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from harness.data.description import DataSetDescription
from harness.errors import DataError, NoImagesError
from harness.threads import usable_cores

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
UNREAD_SUFFIXES = frozenset(
    {
        *(".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".jpx", ".jfif", ".heic", ".heif", ".avif", ".ppm"),
        *(".svs", ".ndpi", ".mrxs", ".scn", ".dcm"),
    }
)
"""Endings of pictures that are not read: only PNG and JPEG are."""

USED, DROPPED, REPEATED, UNPARSED, DAMAGED = "used", "dropped", "repeated", "unparsed", "damaged"
COLUMNS = ("name", "file", "group", "subgroup", "subtype", "stratum", "label", "facts", "sha256", "size", "state")
_HOLD_OUTS = "hold_outs"
_MAX_DEPTH = 100
_BATCH = 512
_SHOWN = 3


class Described(Protocol):
    """What is known of an image; see :class:`~harness.ImageRecord`."""

    @property
    def file(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def groups(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def stratum(self) -> str: ...  # noqa: D102
    @property
    def subtype(self) -> str: ...  # noqa: D102
    @property
    def facts(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def hold_outs(self) -> Sequence[int] | None: ...  # noqa: D102
    @property
    def left_out(self) -> bool: ...  # noqa: D102


def make_manifest(
    root: Path, digests: Mapping[str, str], records: Sequence[Described], data_set: DataSetDescription
) -> pd.DataFrame:
    """Put together what lies in a folder and what is known of it.

    Args:
        root: The folder.
        digests: sha256 of every file, by path below ``root``.
        records: What images are; files without a record are no images of the data set.
        data_set: Whose records these are.

    Returns:
        The manifest, sorted by name: ``name`` (unique among used images), ``file`` (below root), ``group`` (what is
        kept apart), ``subgroup`` (the smallest of what it belongs to), ``subtype``, ``stratum``, ``label`` (Int64),
        ``facts`` (JSON, or empty), ``sha256``, ``size`` (bytes), ``hold_outs`` (the published ones that test it, or
        None) and ``state``: ``used``, ``dropped`` (by the data set), ``repeated`` (the same file again in another
        folder) or ``unparsed`` (no image of the data set; its fields are empty).

    Raises:
        DataError: A record contradicts the data set or the files, or one name stands for two different files.
    """
    known: dict[str, Described] = {}
    for record in records:
        if record.file not in digests:
            raise DataError(f"data set {data_set.name} names {record.file}, which is no image file in {root}")
        if record.file in known:
            raise DataError(f"data set {data_set.name} names {record.file} twice - keep one row for each image")
        known[record.file] = record
    rows = [_row(root, file, digest, known.get(file), data_set) for file, digest in digests.items()]
    manifest = pd.DataFrame(rows, columns=[*COLUMNS, _HOLD_OUTS]).astype({"label": "Int64", _HOLD_OUTS: object})
    manifest = manifest.sort_values(["name", "file"], ignore_index=True)
    if not (manifest["state"] == USED).any():
        known_by = f"with {data_set.naming}" if data_set.naming else "that it knows"
        raise NoImagesError(f"no images of {data_set.name} in {root}: {len(digests)} image files, none {known_by}")
    _refuse_divided_subgroups(manifest, data_set)
    return _mark_repeats(manifest)


def used_images(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that take part in a run, with plain integer columns."""
    used = manifest[manifest["state"] == USED]
    return used.astype({"label": "int64"}).reset_index(drop=True)


def count_images(images: pd.DataFrame, data_set: DataSetDescription) -> pd.DataFrame:
    """Count images by stratum and class, as table 1 of the paper does.

    Returns:
        A row a stratum, ``total``, and ``cases``: the smallest groups under a subtype each, which is how the literature
        reaches 82 for BreakHis. Columns: the classes, and ``total`` (int).
    """
    labels = range(len(data_set.classes))
    counts = images.groupby(["stratum", "label"]).size().unstack(fill_value=0)
    counts = counts.reindex(data_set.strata, fill_value=0).reindex(columns=labels, fill_value=0)
    cases = images.drop_duplicates(["label", "subtype", "subgroup"]).groupby("label").size()
    counts.loc["total"] = counts.sum()
    counts.loc["cases"] = cases.reindex(labels, fill_value=0)
    counts.columns = pd.Index(data_set.classes)
    return counts.assign(total=counts.sum(axis=1)).astype(int)


def published_counts(data_set: DataSetDescription) -> pd.DataFrame | None:
    """Return the published counts as :func:`count_images` gives those of a folder; None where there are none."""
    if not data_set.published_images:
        return None
    none = [0] * len(data_set.classes)
    rows = {stratum: data_set.published_images.get(stratum, none) for stratum in data_set.strata}
    counts = pd.DataFrame.from_dict(rows, orient="index", columns=data_set.classes)
    counts.loc["total"] = counts.sum()
    counts.loc["cases"] = data_set.published_cases or none
    return counts.assign(total=counts.sum(axis=1)).astype(int)


def unread_pictures(root: Path) -> tuple[str, ...]:
    """Return the pictures below a folder, by path, that are in a format which is not read; hidden ones apart."""
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        unread = (name for name in sorted(files) if Path(name).suffix.lower() in UNREAD_SUFFIXES)
        found += [Path(folder, name).relative_to(root).as_posix() for name in unread if not name.startswith(".")]
    return tuple(found)


def unread_note(root: Path) -> str | None:
    """Say how many of :func:`unread_pictures` there are; None where there are none."""
    unread = unread_pictures(root)
    if not unread:
        return None
    few = ", ".join(unread[:_SHOWN]) + (", ..." if len(unread) > _SHOWN else "")
    return f"{len(unread)} pictures are not read, since they are neither PNG nor JPEG: {few}"


def digest_files(root: Path, on_progress: Callable[[int, int], None] | None = None) -> dict[str, str]:
    """Return sha256 of every image file below a folder, by its path below it, in a fixed order.

    Args:
        root: The folder, in any layout; hidden folders are passed over.
        on_progress: Called with the number of files that are done and the number of all files.

    Raises:
        DataError: There is no such folder, or one of :func:`image_files`.
    """
    if not root.is_dir():
        raise DataError(f"no such folder: {root} - pass the folder that holds the images")
    paths = list(image_files(root))
    digests: list[str] = []
    for start in range(0, len(paths), _BATCH):
        digests += sha256_of_files(paths[start : start + _BATCH])
        if on_progress is not None:
            on_progress(len(digests), len(paths))
    return dict(zip((path.relative_to(root).as_posix() for path in paths), digests, strict=True))


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
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            _refuse_link_out(path, inside)
            mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is no file but a pipe, a socket or a device - move it away")


def _refuse_link_out(path: Path, inside: Path) -> None:
    if path.is_symlink() and not (target := Path(os.path.realpath(path))).is_relative_to(inside):
        raise DataError(
            f"{path} is a link to {target}, out of the folder; such links are not followed - put a copy in its place"
        )


def sha256_of_files(paths: list[Path]) -> list[str]:
    """Hash files in parallel; hashing releases the interpreter's lock, so threads serve."""
    with ThreadPoolExecutor(max_workers=min(8, usable_cores())) as pool:
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


def digest_named(root: Path, files: Sequence[str], where: Path) -> dict[str, str]:
    """Return sha256 of some image files, by their paths below a folder.

    Args:
        root: The folder.
        files: What is named.
        where: By whom, for an error.

    Raises:
        DataError: One of them is not there, is no picture that is read, or lies elsewhere.
    """
    inside, paths = Path(os.path.realpath(root)), [root / file for file in files]
    for file, path in zip(files, paths, strict=True):
        if not _is_image_name(path.name):
            raise DataError(f"{where} names {file}, which does not end with {', '.join(sorted(IMAGE_SUFFIXES))}")
        if "\0" in file or ".." in path.parts or not Path(os.path.realpath(path)).is_relative_to(inside):
            raise DataError(f"{where} names {file}, which does not lie below {root} - paths are below that folder")
    if missing := [file for file, path in zip(files, paths, strict=True) if not path.is_file()]:
        raise DataError(
            f"{len(missing)} images of {where} are not in {root}, the first is {missing[0]} - paths are below the "
            "folder of the images: --data DIR, the table's own by default"
        )
    return dict(zip(files, sha256_of_files(paths), strict=True))


def _row(root: Path, file: str, digest: str, record: Described | None, data_set: DataSetDescription) -> dict[str, Any]:
    found = {"file": file, "sha256": digest, "size": (root / file).stat().st_size}
    if record is None:
        return {"name": Path(file).stem, "state": UNPARSED, "facts": "", "hold_outs": None, **found}
    stratum = record.stratum or data_set.strata[0]
    groups = list(record.groups) or [record.name]
    _refuse_contradiction(record, stratum, groups, data_set)
    return {
        "name": record.name,
        "group": groups[0],
        "subgroup": groups[-1],
        "subtype": record.subtype,
        "stratum": stratum,
        "label": data_set.classes.index(record.label),
        "facts": json.dumps(dict(record.facts), sort_keys=True) if record.facts else "",
        "hold_outs": None if record.hold_outs is None else frozenset(record.hold_outs),
        "state": DROPPED if record.left_out else USED,
        **found,
    }


def _refuse_contradiction(record: Described, stratum: str, groups: list[str], data_set: DataSetDescription) -> None:
    if record.label not in data_set.classes:
        known = ", ".join(data_set.classes)
        raise DataError(f"{record.file} is of class '{record.label}', which {data_set.name} has not (it has {known})")
    if stratum not in data_set.strata or (not record.stratum and len(data_set.strata) > 1):
        known = ", ".join(data_set.strata)
        raise DataError(f"{record.file} is of stratum '{record.stratum}'; {data_set.name} has {known}")
    if len(groups) != max(1, len(data_set.groups)):
        levels = " and ".join(data_set.groups) or "no group"
        raise DataError(f"{record.file} belongs to {', '.join(groups)}; {data_set.name} says {levels} of each image")


def _refuse_divided_subgroups(manifest: pd.DataFrame, data_set: DataSetDescription) -> None:
    """A subgroup of two groups would join them wherever it is a unit."""
    owners = manifest.groupby("subgroup")["group"].unique()
    shared = owners[owners.map(len) > 1]
    if len(shared):
        word, owned = data_set.subgroup, ", ".join(sorted(shared.iloc[0])[:_SHOWN])
        raise DataError(
            f"the {word} '{shared.index[0]}' belongs to several: {owned} - give each {word} a name of its own, such "
            f"as the {data_set.group} and its number"
        )


def _mark_repeats(manifest: pd.DataFrame) -> pd.DataFrame:
    """Keep the first of several identical files of one name; refuse different files under one name."""
    parsed = manifest[manifest["state"] != UNPARSED]
    contents = parsed.groupby("name")["sha256"].nunique()
    if (contents > 1).any():
        name = str(contents.index[contents > 1][0])
        named = parsed.loc[parsed["name"] == name, "file"]
        files = ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")
        raise DataError(f"{name} names different images: {files} - keep one of them")
    repeated = (manifest["state"] == USED) & manifest.duplicated("name")
    return manifest.assign(state=manifest["state"].mask(repeated, REPEATED))
