"""Folders that contradict the official names of the files in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from harness_plugins.breakhis.names import CLASSES, MAGNIFICATIONS, TYPE_FOLDERS, ImageName, parse_stem

_NAMED_FOLDERS = frozenset({*CLASSES, *TYPE_FOLDERS.values()})
_MAGNIFICATION = re.compile(rf"({'|'.join(map(str, MAGNIFICATIONS))})x")


def misplaced_files(files: Iterable[str]) -> tuple[str, ...]:
    """Return the files, by path below the data set's folder, whose folders contradict their official names.

    A folder that says nothing of class, tumour type, slide or magnification contradicts nothing.
    """
    return tuple(file for file in files if (name := parse_stem(PurePosixPath(file).stem)) and _contradicts(file, name))


def _contradicts(file: str, name: ImageName) -> bool:
    right = {part.lower() for part in name.official_folder.split("/")}
    return any(
        _says_something(folder.lower()) and folder.lower() not in right for folder in PurePosixPath(file).parts[:-1]
    )


def _says_something(folder: str) -> bool:
    return folder in _NAMED_FOLDERS or folder.startswith(("sob_b_", "sob_m_")) or bool(_MAGNIFICATION.fullmatch(folder))
