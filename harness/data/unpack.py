"""Unpack an archive without trusting it."""

from __future__ import annotations

import gzip
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import IO, Literal

from harness.errors import DataError

MAX_UNPACKED_BYTES = 60_000_000_000
MAX_UNPACKED_RATIO = 200
"""How many bytes a byte of the archive may become: images hardly compress, so anything near this is an attack."""
MAX_MEMBERS = 200_000
SCRATCH_PREFIX = ".unpack-"
"""What the folder beside the archive begins with that content lies in until it is whole; a killed process leaves it."""

_CHUNK_BYTES = 1 << 20
_UNREADABLE = (
    EOFError,
    RuntimeError,
    ValueError,
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the standard library raises for archives that are cut short, garbled, encrypted or packed in an unknown way."""


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive into ``folder`` in one step.

    Nothing in the archive is believed: names must stay inside, only plain files and folders are accepted, and bytes
    are counted as they come out.

    Returns:
        The archive's one top folder, now in ``folder``; or a folder named after the archive where it has no such one.

    Raises:
        DataError: The archive cannot be read or is refused; ``folder`` is as it was.
        OSError: The folder to create is there already, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=archive.parent) as scratch:
        content = Path(scratch, "content")
        content.mkdir()
        try:
            _extract(archive, content)
        except _UNREADABLE as error:
            advice = "delete it and fetch again; if that repeats, the server sends something else than the archive"
            raise DataError(f"{archive} cannot be unpacked: {error} - {advice}") from error
        tops = list(content.iterdir())
        if len(tops) == 1 and tops[0].is_dir() and not tops[0].name.startswith("."):
            return tops[0].rename(folder / tops[0].name)
        return content.rename(folder / archive.name.split(".")[0])


def _extract(archive: Path, target: Path) -> None:
    allowance = min(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * archive.stat().st_size)
    for number, (name, source) in enumerate(_entries(archive), start=1):
        if number > MAX_MEMBERS:
            raise _refused(archive, f"it holds more than {MAX_MEMBERS:,} entries")
        path = PureWindowsPath(name)  # takes / and \ for separators, so neither gets past on any system
        if path.anchor or ".." in path.parts or "\0" in name:
            raise _refused(archive, f"the entry {name!r} leads out of it")
        try:
            allowance -= _write_entry(source, target.joinpath(*path.parts), allowance)
        except (FileExistsError, NotADirectoryError):
            raise _refused(archive, f"it holds {name!r} twice") from None
        if allowance < 0:
            raise _refused(archive, f"it unpacks to more than {MAX_UNPACKED_RATIO} times its size, or fills the disk")


def _write_entry(source: IO[bytes] | None, path: Path, allowance: int) -> int:
    """Write a file, or create a folder where there is no source; return the bytes, at most a chunk too many."""
    if source is None:
        path.mkdir(parents=True, exist_ok=True)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with source, path.open("xb") as file:
        while written <= allowance and (chunk := source.read(_CHUNK_BYTES)):
            written += file.write(chunk)
    return written


def _entries(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """The archive's entries by name, folders without a stream; its own bytes decide what kind of archive it is."""
    with archive.open("rb") as file:
        magic = file.read(2)
    if magic == b"PK":
        return _zip_entries(archive)
    return _tar_entries(archive, "r:gz" if magic == b"\x1f\x8b" else "r:")


def _tar_entries(archive: Path, mode: Literal["r:", "r:gz"]) -> Iterator[tuple[str, IO[bytes] | None]]:
    with tarfile.open(archive, mode) as tar:
        for member in tar:
            if not (member.isreg() or member.isdir()):
                raise _refused(archive, f"the entry {member.name!r} is a link or a device")
            yield member.name, tar.extractfile(member)


def _zip_entries(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            if stat.S_IFMT(member.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise _refused(archive, f"the entry {member.filename!r} is a link or a device")
            yield member.filename, None if member.is_dir() else packed.open(member)


def _refused(archive: Path, why: str) -> DataError:
    return DataError(f"{archive} is refused: {why} - nothing was unpacked; delete it and fetch from a source you trust")
