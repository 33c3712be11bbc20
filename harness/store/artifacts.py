"""Files that a model saved, collected into its cell's folder."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.durable import NO_ROOM, flush
from harness.errors import CellError
from harness.store.checksums import RECORD, TABLES


@dataclass(frozen=True)
class SavingFolder:
    """The folder that a model may write to.

    Attributes:
        path: Where it is.
        identity: Device and number of the folder that was made there; by now there may be something else.
    """

    path: Path
    identity: tuple[int, int]

    @staticmethod
    def make(path: Path) -> SavingFolder:
        """Make it."""
        path.mkdir()
        return SavingFolder(path, _identity(path))


def collect(saved: SavingFolder, working: Path) -> None:
    """Move what a model has saved to its cell's other files.

    Only plain files are touched that lie in the very folder that was made for the model, and have no second name
    elsewhere: whatever a link leads to is somebody else's.

    Args:
        saved: The folder that was the model's to write to; it is gone afterwards.
        working: Its cell's.

    Raises:
        CellError: The folder was removed or replaced, or holds what cannot be kept or moved.
    """
    try:
        list_saved(saved)
        aside = saved.path.rename(working.with_name(f"{working.name}.saved"))  # it may hold something of its own name
        for path in sorted(aside.iterdir()):
            path.rename(working / path.name)
        aside.rmdir()
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise CellError(f"what save() has left cannot be kept: {error.filename}: {error.strerror}") from error


def copy_plain_files(source: Path, target: Path) -> None:
    """Copy the plain files of a folder, and of the folders in it; links are left behind, since they may lead anywhere.

    Raises:
        OSError: One cannot be read or written.
    """
    for entry in os.scandir(source):
        copied = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            copied.mkdir()
            copy_plain_files(Path(entry.path), copied)
        elif entry.is_file(follow_symlinks=False):
            shutil.copyfile(entry.path, copied, follow_symlinks=False)
            flush(copied)


def list_saved(saved: SavingFolder) -> list[Path]:
    """Return the files and folders that a model has saved, after making sure that they may be touched.

    Raises:
        CellError: The folder was removed or replaced, or holds what cannot be kept.
        OSError: A folder cannot be listed.
    """
    if _identity(saved.path) != saved.identity:
        raise CellError("save() has replaced the folder that it was given")
    found = list(_everything_in(saved.path))
    for path in found:
        _check(path, saved.path)
    return found


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise CellError("save() has removed the folder that it was given") from None
    if not stat.S_ISDIR(found.st_mode):
        raise CellError("save() has put something else in the place of the folder that it was given")
    return found.st_dev, found.st_ino


def _everything_in(folder: Path) -> Iterator[Path]:
    """Yield all files and folders below; links are not followed.

    Raises:
        OSError: A folder cannot be listed.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _everything_in(Path(entry.path))


def _check(path: Path, folder: Path) -> None:
    name, found = path.relative_to(folder), path.lstat()
    shown = os.fsencode(name).decode(errors="backslashreplace")
    if shown != str(name):
        raise CellError(f"save() has left {shown}, whose name is not in UTF-8")
    if str(name) in {RECORD, *TABLES}:
        raise CellError(f"save() has left {shown}, which is the harness's own file")
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise CellError(f"save() has left {shown}, which is neither a file nor a folder")
    if found.st_nlink != 1:
        raise CellError(f"save() has left {shown}, which is another file's second name (a hard link)")
    path.chmod(0o644)
