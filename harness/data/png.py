"""PNG validation."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.data.picture_size import size_fault

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values a pixel, by the colour type of a PNG header (RFC 2083, section 4.1.1)."""
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits a value that each colour type allows."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced PNG: first column, first row, column step, row step (RFC 2083, section 2.6)."""
_NEUTRAL = frozenset(
    (b"IHDR", b"IDAT", b"IEND", b"gAMA", b"sRGB", b"cHRM", b"bKGD", b"oFFs", b"pHYs", b"vpAg", b"tEXt", b"tIME")
)
"""Chunks after which the pixels are decoded as without them: those of BreakHis' files, and the hour."""


@dataclass(frozen=True)
class UnpackedPng:
    """A sound PNG, its pixels decompressed.

    Attributes:
        width: In pixels.
        height: In pixels.
        is_plain: True for 8 bits of red, green and blue without interlacing, and no chunk that says more of the pixels.
        rows: The filter of each row and the row; of each pass, where the picture is interlaced.
    """

    width: int
    height: int
    is_plain: bool
    rows: bytes


def png_fault(content: bytes) -> str | None:
    """Say what is wrong with the bytes of a PNG, or return None for a sound one and for any other format."""
    try:
        unpack_png(content)
    except RuntimeError as error:
        return str(error)
    return None


def unpack_png(content: bytes) -> UnpackedPng | None:
    """Check the bytes of a PNG and decompress its pixels; None for any other format.

    torchvision's PNG decoder can bring the whole process down on damaged pixels, which no ``except`` catches, so
    checksums, compressed stream and row filters are checked before it sees the file.

    Raises:
        RuntimeError: What is wrong, in one line.
    """
    if not content.startswith(_PNG_SIGNATURE):
        return None
    chunks = _read_chunks(content)
    header = b"".join(chunks.get(b"IHDR", []))
    if len(header) != 13:
        raise RuntimeError("the PNG has no valid header")
    width, height, depth, colour, compression, filters, interlaced = struct.unpack(">IIBBBBB", header)
    if fault := size_fault("PNG", width, height):
        raise RuntimeError(fault)
    if depth not in _PNG_DEPTHS.get(colour, ()):
        raise RuntimeError(f"the PNG has a colour type that does not exist: {colour} with {depth} bits")
    passes = list(_passes(width, height, depth * _PNG_CHANNELS[colour], _ADAM7 if interlaced else ((0, 0, 1, 1),)))
    rows = _unpack_rows(b"".join(chunks.get(b"IDAT", [])), passes)
    is_plain = (depth, colour, compression, filters, interlaced) == (8, 2, 0, 0, 0)
    return UnpackedPng(width, height, is_plain and next(iter(chunks)) == b"IHDR" and _NEUTRAL.issuperset(chunks), rows)


def _read_chunks(content: bytes) -> dict[bytes, list[memoryview]]:
    """Return the bodies of each kind of chunk up to the end of the PNG, checksums compared."""
    whole, chunks = memoryview(content), dict[bytes, list[memoryview]]()
    position, before = len(_PNG_SIGNATURE), b""
    while b"IEND" not in chunks:
        header = content[position : position + 8]
        size, kind = struct.unpack(">I4s", header) if len(header) == 8 else (0, b"")
        body_end = position + 8 + size
        if not kind or body_end + 4 > len(content):
            raise RuntimeError(f"the PNG is cut short after {len(content):,} bytes")
        if zlib.crc32(whole[position + 4 : body_end]) != int.from_bytes(whole[body_end : body_end + 4], "big"):
            raise RuntimeError(f"the PNG fails its checksum near byte {position:,}")
        if kind == b"IDAT" in chunks and before != kind:
            raise RuntimeError(f"the pixels of the PNG are split by another chunk near byte {position:,}")
        chunks.setdefault(kind, []).append(whole[position + 8 : body_end])
        position, before = body_end + 4, kind
    return chunks


def _unpack_rows(compressed: bytes, passes: list[tuple[int, int]]) -> bytes:
    """Unpack a stream that holds just the rows of the passes (rows, bytes a row), checksum included."""
    claimed, stream = sum(rows * row_bytes for rows, row_bytes in passes), zlib.decompressobj()
    try:
        pixels = stream.decompress(compressed, max_length=claimed + 1)
    except zlib.error as error:
        raise RuntimeError(f"the pixels of the PNG do not decompress: {error}") from error
    if len(pixels) != claimed:
        raise RuntimeError(f"the PNG has {'fewer' if len(pixels) < claimed else 'more'} pixels than its header says")
    if not stream.eof:  # a checksum that is cut short is enough to crash the decoder
        raise RuntimeError("the pixels of the PNG are cut short")
    start = 0
    for rows, row_bytes in passes:
        end = start + rows * row_bytes
        if max(pixels[start:end:row_bytes], default=0) > 4:
            raise RuntimeError("the PNG has a row with a filter that does not exist")
        start = end
    return pixels


def _passes(
    width: int, height: int, pixel_bits: int, grids: tuple[tuple[int, int, int, int], ...]
) -> Iterator[tuple[int, int]]:
    """Yield the rows of each pass, and the bytes of a row with its filter; a pass without columns has no rows."""
    for left, top, step_x, step_y in grids:
        columns, rows = max(0, -(-(width - left) // step_x)), max(0, -(-(height - top) // step_y))
        yield (rows if columns else 0), 1 + (columns * pixel_bits + 7) // 8
