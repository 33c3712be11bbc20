"""JPEG validation before and during decoding."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import tempfile
import threading
from collections.abc import Iterator

from harness.data.picture_size import size_fault

_SIGNATURE = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
"""What begins a segment: neither a stuffed byte of pixels nor a marker without a body (ITU T.81, B.1.1)."""
_END, _SCAN = 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame header (ITU T.81, table B.1)."""
_STDERR = 2
_DAMAGE = re.compile("Corrupt JPEG data|Premature end of JPEG|Inconsistent progression")
"""How the warnings begin after which pixels are not those of the picture (libjpeg, jerror.h)."""
_listening = threading.Lock()
_MAX_SCANS = 64
"""A progressive picture has about ten. Each takes another pass over all pixels, so thousands keep a decoder busy."""


def jpeg_fault(content: bytes) -> str | None:
    """Say what is wrong with the bytes of a JPEG, or return None for a sound one and for any other format.

    Segments are walked from the first to the end of the image, so that a cut is found and the size is known before
    anything is decoded. Compressed pixels have no checksum; of damage there the decoder warns (:func:`jpeg_warnings`).
    """
    if not content.startswith(_SIGNATURE):
        return None
    position, scans, framed = len(_SIGNATURE) - 1, 0, False
    while (found := _MARKER.search(content, position)) and found[1][0] != _END:
        body = found.end()
        length = int.from_bytes(content[body : body + 2], "big")
        if length < 2 or body + length > len(content):
            return f"the JPEG is cut short or garbled near byte {found.start():,}"
        if found[1][0] in _FRAMES:
            framed = True
            if fault := _frame_fault(content[body + 2 : body + length]):
                return fault
        scans += found[1][0] == _SCAN
        if scans > _MAX_SCANS:
            return f"the JPEG has more than {_MAX_SCANS} scans"
        position = body + length
    if found is None:
        return f"the JPEG is cut short after {len(content):,} bytes"
    return None if framed and scans else "the JPEG holds no picture"


@contextlib.contextmanager
def jpeg_warnings(content: bytes) -> Iterator[list[str]]:
    """Collect what libjpeg says of damage while it decodes; the list is filled at the end, and empty for other formats.

    libjpeg paints over what it cannot read and tells standard error, without the name of the file. What it only finds
    unusual, such as an unknown revision of the format, and what others print meanwhile, is left out.
    """
    warned: list[str] = []
    if not content.startswith(_SIGNATURE):
        yield warned
        return
    with _listening:
        heard, spoken_to = _recording(os.getpid()), os.dup(_STDERR)
        os.dup2(heard, _STDERR)
        try:
            yield warned
        finally:
            os.dup2(spoken_to, _STDERR)
            os.close(spoken_to)
            if size := os.lseek(heard, 0, os.SEEK_CUR):
                said = os.pread(heard, size, 0).decode(errors="replace")
                os.ftruncate(heard, 0)
                os.lseek(heard, 0, os.SEEK_SET)
                warned += filter(_DAMAGE.match, said.splitlines())


@functools.lru_cache(maxsize=1)
def _recording(_process: int) -> int:
    """Descriptor of an empty file, the same for every picture: to make one takes longer than to check a JPEG.

    A forked process has its own: it would share the place in its parent's.
    """
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _frame_fault(header: bytes) -> str | None:
    """Check a frame header: bits a value, height, width, number of channels."""
    if len(header) < 6:
        return "the JPEG has no valid header"
    bits, channels = header[0], header[5]
    if bits != 8:
        return f"the JPEG has {bits} bits a value; 8 are read"
    if channels not in {1, 3, 4}:
        return f"the JPEG has {channels} channels; 1, 3 or 4 are read"
    return size_fault("JPEG", int.from_bytes(header[3:5], "big"), int.from_bytes(header[1:3], "big"))
