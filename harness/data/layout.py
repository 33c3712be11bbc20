"""Folders that contradict file names, and pictures in formats that are not read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from harness.data.names import CLASSES, MAGNIFICATIONS, TYPE_FOLDERS, ImageName, parse_stem

UNREAD_SUFFIXES = frozenset(
    {
        *(".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".jpx", ".jfif", ".heic", ".heif", ".avif", ".ppm"),
        *(".svs", ".ndpi", ".mrxs", ".scn", ".dcm"),
    }
)
"""Endings of pictures that are not read: only PNG and JPEG are."""

_SHOWN = 3
_NAMED_FOLDERS = frozenset({*CLASSES, *TYPE_FOLDERS.values()})
_MAGNIFICATION = re.compile(rf"({'|'.join(map(str, MAGNIFICATIONS))})x")


def misplaced_files(files: Iterable[str]) -> tuple[str, ...]:
    """Return the files, by path below the data set's folder, whose folders contradict their official names.

    A folder that says nothing of class, tumour type, slide or magnification contradicts nothing.
    """
    return tuple(file for file in files if (name := parse_stem(PurePosixPath(file).stem)) and _contradicts(file, name))


def unread_pictures(root: Path) -> tuple[str, ...]:
    """Return the pictures below a folder, by path, that are in a format which is not read; hidden ones apart."""
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        unread = (name for name in sorted(files) if Path(name).suffix.lower() in UNREAD_SUFFIXES)
        found += [Path(folder, name).relative_to(root).as_posix() for name in unread if not name.startswith(".")]
    return tuple(found)


def layout_notes(root: Path, files: Iterable[str]) -> list[str]:
    """Say in one line each what of :func:`misplaced_files` and :func:`unread_pictures` there is."""
    misplaced, unread = misplaced_files(files), unread_pictures(root)
    notes = []
    if misplaced:
        notes.append(
            f"{len(misplaced)} files lie in folders that contradict their names, which count: {_few(misplaced)}"
        )
    if unread:
        notes.append(f"{len(unread)} pictures are not read, since they are neither PNG nor JPEG: {_few(unread)}")
    return notes


def _few(files: tuple[str, ...]) -> str:
    return ", ".join(files[:_SHOWN]) + (", ..." if len(files) > _SHOWN else "")


def _contradicts(file: str, name: ImageName) -> bool:
    right = {part.lower() for part in name.official_folder.split("/")}
    return any(
        _says_something(folder.lower()) and folder.lower() not in right for folder in PurePosixPath(file).parts[:-1]
    )


def _says_something(folder: str) -> bool:
    return folder in _NAMED_FOLDERS or folder.startswith(("sob_b_", "sob_m_")) or bool(_MAGNIFICATION.fullmatch(folder))
