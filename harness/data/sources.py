"""Source sets: images to pre-train on, which are never tested on."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.data.manifest import image_files, sha256_of_files
from harness.errors import DataError

LUNG_CLASSES = ("lung_aca", "lung_n", "lung_scc")
APART, COPIES = "tiles apart", "copies of trained tiles"
HELD_OUT_SIDES = (APART, COPIES)
"""Sides that take no part in training or choosing: the honest measure of a stage, and what a random split measures."""

_SHARE = 0.1  # of the groups, for each side beside training
_LIST_COLUMNS = ("path", "class", "tile")
_MAX_LIST_BYTES = 50_000_000


@dataclass(frozen=True)
class SourceManifest:
    """The images of a source set.

    Attributes:
        images: One row an image: ``file`` (full path), ``sha256``, ``label`` (int), ``group`` (what must not be
            divided), ``side`` (``train``, ``validation``, or one of :data:`HELD_OUT_SIDES`).
        classes: Class names in the order of their labels.
    """

    images: pd.DataFrame
    classes: tuple[str, ...]

    @property
    def sides(self) -> list[str]:
        """Those that have images."""
        return list(self.images["side"].unique())

    def require_training(self) -> SourceManifest:
        """Return itself if every class has images to train on.

        Raises:
            DataError: All images or tiles of a class are held out.
        """
        untrained = set(range(len(self.classes))) - set(self.images.loc[self.images["side"] == "train", "label"])
        if untrained:
            name = self.classes[min(untrained)]
            raise DataError(f"class {name} has too few images or tiles to train on and to hold some out")
        return self

    @property
    def fingerprint(self) -> str:
        """sha256 over content, label and side of every image."""
        lines = self.images[["sha256", "label", "side"]].astype(str).agg(" ".join, axis=1)
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def scan_source(kind: str, roots: Sequence[Path]) -> SourceManifest:
    """List a source set and divide it by whole groups: a tenth of each class for validation.

    Of ``lc25000`` another tenth of the tiles is held out, and one image each of a tenth of the trained tiles.

    Args:
        kind: ``image-folder``: the first folder level names the class, every image is a group of its own;
            ``lc25000``: the three lung classes, with the tile groups of ``groups.csv`` (columns path, class, tile).
        roots: The set's folders; classes of one name are one class.

    Raises:
        DataError: A folder is missing, holds no images, or LC25000's tile groups are missing or incomplete.
    """
    list_images = _lung_images if kind == "lc25000" else _class_folders
    tables = []
    for root in roots:
        if not root.is_dir():
            raise DataError(f"no such folder: {root}")
        table = list_images(root)
        tables.append(table.assign(file=[root / path for path in table["path"]]))
    table = pd.concat(tables, ignore_index=True)
    if table["class"].nunique() < 2:
        named = ", ".join(map(str, roots))
        raise DataError(f"{named} holds images of {table['class'].nunique()} classes; at least two are needed")
    classes = tuple(sorted(table["class"].unique()))
    images = pd.DataFrame(
        {
            "file": table["file"].map(str),
            "sha256": sha256_of_files(list(table["file"])),
            "label": [classes.index(name) for name in table["class"]],
            "group": table["tile"],
        }
    )
    images = images.sort_values(["sha256", "file"], ignore_index=True)  # whatever the order of a list or of names
    images = images.assign(side=_sides(images, held_out=kind == "lc25000"))
    return SourceManifest(images, classes)


def _class_folders(root: Path) -> pd.DataFrame:
    paths = [path.relative_to(root) for path in image_files(root)]
    rows = [(path.as_posix(), path.parts[0], path.as_posix()) for path in paths if len(path.parts) > 1]
    if not rows:
        raise DataError(f"no images in class folders below {root} - expected {root.name}/<class>/<image>.jpg")
    return pd.DataFrame(rows, columns=["path", "class", "tile"])


def _lung_images(root: Path) -> pd.DataFrame:
    """LC25000 holds about twenty augmented copies of every tile, so a division of images would leak almost all."""
    list_file = root / "groups.csv"
    if not list_file.is_file():
        raise DataError(
            f"no tile groups in {root}: {list_file.name} (columns path, class, tile) must say which images are copies "
            "of one tile - published groups: GeorgeBatch/LC25000-clean"
        )
    groups = _read_groups(list_file)
    groups = groups[groups["class"].isin(LUNG_CLASSES)].reset_index(drop=True)
    inside = os.path.realpath(root)
    for path in groups["path"]:
        if not Path(os.path.realpath(root / path)).is_relative_to(inside):
            raise DataError(f"{list_file} names {path}, which is not below {root} - name files below it only")
    missing = [path for path in groups["path"] if not (root / path).is_file()]
    if missing:
        raise DataError(f"{len(missing)} images named in {list_file} are not there, the first is {missing[0]}")
    return groups


def _read_groups(list_file: Path) -> pd.DataFrame:
    try:
        content = list_file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {list_file}: {error.strerror}") from error
    return parse_groups(content, list_file)


def parse_groups(content: bytes, where: Path) -> pd.DataFrame:
    """Read ``groups.csv``: one row an image, with the columns ``path``, ``class`` and ``tile`` as text.

    Args:
        content: The file's bytes: UTF-8.
        where: What to call the file in an error.

    Raises:
        DataError: It is no CSV of these columns, a field is empty, or an image is listed twice.
    """
    if len(content) > _MAX_LIST_BYTES:
        raise DataError(f"{where} has {len(content):,} bytes; a list of images has at most {_MAX_LIST_BYTES:,}")
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where} cannot be read as CSV in UTF-8: {error}") from error
    if not rows or not set(_LIST_COLUMNS) <= set(rows[0]):
        found = ", ".join(str(column) for column in rows[0]) if rows else "nothing"
        raise DataError(f"{where} has {found}; an image a row and the columns path, class, tile are needed")
    for number, row in enumerate(rows, start=1):
        if None in row or not all(row[column] for column in _LIST_COLUMNS) or "\0" in row["path"]:
            raise DataError(f"row {number} of {where} has too many fields, or no path, class or tile - mend it")
    groups = pd.DataFrame(rows, columns=list(_LIST_COLUMNS), dtype=str)
    groups["path"] = groups["path"].map(os.path.normpath)
    twice = groups.loc[groups["path"].duplicated(), "path"]
    if len(twice):
        raise DataError(f"{where} lists {twice.iloc[0]} twice - keep one line for each image")
    return groups


def _sides(images: pd.DataFrame, *, held_out: bool) -> pd.Series[str]:
    """Deal each class's groups, in the order of their hashes: a tenth a side, the rest to training."""
    groups = images.drop_duplicates("group")[["group", "label"]]
    ranked = groups.assign(rank=[hashlib.sha256(str(group).encode()).hexdigest() for group in groups["group"]])
    ranked = ranked.sort_values("rank")
    share = (ranked.groupby("label")["group"].transform("size") * _SHARE).clip(lower=1).apply(math.ceil)
    tenth = (ranked.groupby("label").cumcount() // share).set_axis(ranked["group"])
    tenth = images["group"].map(tenth)
    sides = pd.Series("train", index=images.index).mask(tenth == 0, "validation")
    if not held_out:
        return sides
    second_copy = images.groupby("group").cumcount() == 1  # the first stays in training
    return sides.mask(tenth == 1, APART).mask((tenth == 2) & second_copy, COPIES)
