"""Atomic, durable writes of files and folders."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentMissingError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""What the system says of a disk that is full or read-only."""


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        EnvironmentMissingError: There is no room for it, or it may not be written.
    """
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def replace_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, without waiting for the disk: for what can be made again.

    Raises:
        EnvironmentMissingError: There is no room for it, or it may not be written.
    """
    beside = _beside(path)
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def write_once(path: Path, text: str) -> None:
    """Write a text file unless there is one already: of several processes that try, on any host, one does.

    Raises:
        EnvironmentMissingError: There is no room for it, or it may not be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            beside.chmod(0o644)
            flush(beside)
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(beside)  # unlike a rename it never takes the place of what is there
            flush(path.parent)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file.

    Raises:
        EnvironmentMissingError: There is no room for it, or it may not be written.
    """
    write_text(path, json_text(value))


def json_text(value: dict[str, Any]) -> str:
    """Return a JSON object as it is written to a file."""
    return json.dumps(value, indent=1, default=str) + "\n"


def flush(path: Path) -> None:
    """Make sure that a file, or the list of names in a folder, is on the disk before something relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> EnvironmentMissingError:
    """Return the error that says what to do about a disk that is full or read-only."""
    return EnvironmentMissingError(
        f"cannot write {path}: {error.strerror or error} - make room there or choose another --out; "
        "what is finished is kept, and the same command goes on"
    )


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside the one that is wanted; with its files it becomes that one, or nothing is left."""
    building = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        yield building
        for written in (*building.iterdir(), building):
            flush(written)
        building.rename(folder)
        flush(folder.parent)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _beside(path: Path) -> Path:
    """Return a name for what is to take a file's place."""
    return path.with_name(f".{path.name}.{os.getpid()}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside the file to write to; afterwards it takes the file's place.

    Raises:
        EnvironmentMissingError: There is no room for it, or it may not be written.
    """
    beside = _beside(path)
    try:
        yield beside
        flush(beside)
        beside.replace(path)
        flush(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)  # a library may have failed in a way of its own, and half a file takes room
