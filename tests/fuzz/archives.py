"""Archives, spoilt: entries of every kind and name, tar headers with true checksums, and plain bytes."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path
from random import Random

from mutate import spoil_bytes
from places_in_memory import scratch

from harness.data.unpack import unpack

_NAMES = (
    *(
        "a/1.png",
        "a/2.png",
        "b/3.png",
        "a",
        "a/",
        ".",
        "",
        "./a/1.png",
        "../x",
        "a/../../x",
        "/x",
        "C:\\x",
        "..\\x",
        "\\x",
        "a\\b",
    ),
    *("\0", "a\0b", "a/\x1b[31m", "é", "x" * 300, "a/" * 80, "a//b", "~/x", "con", "a:b", ".download", "\udcff"),
)
_TYPES = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
    tarfile.XHDTYPE,
    tarfile.GNUTYPE_SPARSE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.CONTTYPE,
    b"Z",
)


def make_archive(rng: Random) -> bytes:
    """A zip, a tar or a gzipped tar of a few entries."""
    content = _zip(rng) if rng.random() < 0.5 else _tar(rng)
    return spoil_bytes(rng, content) if rng.random() < 0.4 else content


def read_archive(content: bytes) -> object:
    """Unpack it; whatever happens, nothing may lie outside and no link inside."""
    root = scratch("archive")
    shutil.rmtree(root, ignore_errors=True)
    target = root / "in" / "target"
    (target / ".download").mkdir(parents=True)
    archive = target / ".download" / "sent.zip"
    archive.write_bytes(content)
    try:
        return unpack(archive, target)
    finally:
        _check(root, target)


def _check(root: Path, target: Path) -> None:
    outside = [path for path in (*root.iterdir(), *(root / "in").iterdir()) if path not in {root / "in", target}]
    odd = [path for path in target.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())]
    if outside or odd:
        raise AssertionError(f"left behind: {outside + odd}")


def _zip(rng: Random) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for _ in range(rng.randint(0, 3)):
            entry = zipfile.ZipInfo("x")
            entry.filename = rng.choice(_NAMES[:-1]).replace("\0", "")
            entry.external_attr = (
                rng.choice((0, stat.S_IFREG, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO)) << 16
            )
            content = rng.randbytes(rng.randint(0, 60)) if rng.random() < 0.9 else bytes(50_000)
            try:
                archive.writestr(entry, content, rng.choice((0, 8, 8, 12, 14)))
            except (ValueError, IndexError):
                continue
    return packed.getvalue()


def _tar(rng: Random) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(
        fileobj=packed, mode="w", format=rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    ) as tar:
        for _ in range(rng.randint(0, 3)):
            entry = tarfile.TarInfo(rng.choice(_NAMES))
            entry.type = rng.choice((tarfile.REGTYPE, tarfile.REGTYPE, *_TYPES))
            entry.linkname = rng.choice(("", "a/1.png", "/etc/hostname", "../x"))
            entry.size = rng.choice((0, 5, 40, 600))
            try:
                tar.addfile(entry, io.BytesIO(rng.randbytes(entry.size)))
            except (ValueError, OSError):
                continue
    content = bytearray(packed.getvalue().rstrip(b"\0") + bytes(1024))
    content += bytes(-len(content) % 512)
    if rng.random() < 0.5:
        _spoil_header(rng, content)
    return gzip.compress(bytes(content), 1) if rng.random() < 0.3 else bytes(content)


def _spoil_header(rng: Random, content: bytearray) -> None:
    """Change a header and mend its checksum."""
    start = 512 * rng.randrange(max(1, len(content) // 512 - 2))
    place = start + rng.choice((0, 100, 108, 124, 125, 130, 134, 136, 156, 157, 257, 263, 345, 386, 482, 483))
    content[place : place + 1] = rng.choice((b"\0", b"7", b"9", b"\x80", b"\xff", b"L", b"S", b"x", b"-", b" "))
    content[start + 148 : start + 156] = b" " * 8
    content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + 512])
