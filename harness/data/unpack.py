"""Safe extraction of untrusted archives."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from typing import IO, Any

from harness.errors import DataError

MAX_UNPACKED_BYTES = 60_000_000_000
MAX_UNPACKED_RATIO = 200
"""How many bytes a byte of the archive may become: images hardly compress, so anything near this is an attack."""
MAX_MEMBERS = 200_000
MAX_FOLDERS = 20_000
"""BreakHis has about 550; every one takes a block of the disk, which no count of bytes shows."""
SCRATCH_PREFIX = ".unpack-"
"""What the folder beside the archive begins with that content lies in until it is whole; a killed process leaves it."""

_ZIP_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Those that Python unpacks a bounded piece at a time; a piece of bzip2 or LZMA may become gigabytes in memory."""

_CHUNK_BYTES = 1 << 20
_MAX_HEADER_BYTES = 8 << 20
"""Files are read in chunks, so whoever asks for more at once read a made-up length from a header."""
_MAX_NAME_BYTES, _MAX_DEPTH = 255, 50
_UNREADABLE = (
    ArithmeticError,
    EOFError,
    LookupError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
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
        except (*_UNREADABLE, OSError) as error:
            if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
                raise  # the disk's fault; a place that cannot be, or packed data that are none, are the archive's
            advice = "delete it and fetch again; if that repeats, the server sends something else than the archive"
            why = str(error) or type(error).__name__
            raise DataError(f"{archive} cannot be unpacked: {why} - {advice}") from error
        tops = list(content.iterdir())
        if len(tops) == 1 and tops[0].is_dir() and not tops[0].name.startswith("."):
            return tops[0].rename(folder / tops[0].name)
        return content.rename(folder / archive.name.split(".")[0])


def _extract(archive: Path, target: Path) -> None:
    folders: set[PureWindowsPath] = set()
    allowance = min(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * archive.stat().st_size)
    for number, (name, source) in enumerate(_entries(archive), start=1):
        if number > MAX_MEMBERS:
            raise _refused(archive, f"it holds more than {MAX_MEMBERS:,} entries")
        path = PureWindowsPath(name)  # takes / and \ for separators, so neither gets past on any system
        if path.anchor or ".." in path.parts or "\0" in name:
            raise _refused(archive, f"the entry {name!r} leads out of it")
        if len(path.parts) > _MAX_DEPTH or any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in path.parts):
            raise _refused(archive, f"the entry {name[:60]!r}... has too long a name or lies too deep")
        folders.update(path.parents)  # a file makes the folders on its way too
        try:
            allowance -= _write_entry(source, target.joinpath(*path.parts), allowance)
        except (FileExistsError, NotADirectoryError):
            raise _refused(archive, f"it holds {name!r} twice") from None
        if allowance < 0:
            raise _refused(archive, f"it unpacks to more than {MAX_UNPACKED_RATIO} times its size, or fills the disk")
        if len(folders) > MAX_FOLDERS:
            raise _refused(archive, f"it makes more than {MAX_FOLDERS:,} folders")


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
    return _tar_entries(archive, gzip.open if magic == b"\x1f\x8b" else open)


def _tar_entries(archive: Path, opened: Callable[[Path, str], Any]) -> Iterator[tuple[str, IO[bytes] | None]]:
    with opened(archive, "rb") as stream, tarfile.open(fileobj=_Guarded(stream), mode="r:") as tar:
        for member in tar:
            if not (member.isreg() or member.isdir()):
                raise _refused(archive, f"the entry {member.name!r} is a link or a device")
            yield member.name, tar.extractfile(member)


class _Guarded(io.RawIOBase):
    """A stream that gives no more than a header's worth at once: a header may claim to be larger than the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _zip_entries(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            if stat.S_IFMT(member.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise _refused(archive, f"the entry {member.filename!r} is a link or a device")
            if member.compress_type not in _ZIP_METHODS:
                raise _refused(archive, f"the entry {member.filename!r} is packed otherwise than by deflating")
            yield member.filename, None if member.is_dir() else packed.open(member)


def _refused(archive: Path, why: str) -> DataError:
    return DataError(f"{archive} is refused: {why} - nothing was unpacked; delete it and fetch from a source you trust")
