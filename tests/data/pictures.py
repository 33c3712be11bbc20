"""Image files made by hand, byte for byte."""

from __future__ import annotations

import struct
import zlib

import torch
from torchvision.io import encode_jpeg, encode_png

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*pair) for pair in (*chunks, (b"IEND", b"")))


def png_header(width: int, height: int, depth: int = 8, colour: int = 0, interlaced: int = 0) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)


def png_of(pixels: bytes, interlaced: int = 0, size: int = 2) -> bytes:
    """A greyscale PNG of ``size`` x ``size`` pixels whose checksums hold whatever its pixel stream is."""
    return png_chunks(png_header(size, size, interlaced=interlaced), (b"IDAT", pixels))


def flat_png(values: tuple[int, ...], depth: int, colour: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG of 4 x 4 pixels that all have the same values, with ``extra`` chunks before its pixels."""
    bits = "".join(f"{value:0{depth}b}" for value in values) * 4
    row = bytes(int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8))
    pixels = zlib.compress((b"\0" + row) * 4)
    return png_chunks(png_header(4, 4, depth, colour), *extra, (b"IDAT", pixels))


def gradient(height: int = 8, width: int = 16) -> torch.Tensor:
    return torch.linspace(0, 255, 3 * height * width).to(torch.uint8).reshape(3, height, width)


def png(image: torch.Tensor) -> bytes:
    return encode_png(image).numpy().tobytes()


def jpeg(image: torch.Tensor) -> bytes:
    return encode_jpeg(image, quality=95).numpy().tobytes()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def turned_exif(orientation: int) -> bytes:
    """EXIF data that hold an orientation only."""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def jpeg_claiming(width: int, height: int) -> bytes:
    """A JPEG with another size in its header than it has."""
    content = jpeg(gradient())
    frame = content.index(b"\xff\xc0")
    return content[: frame + 5] + struct.pack(">HH", height, width) + content[frame + 9 :]


def foreign_files() -> dict[str, bytes]:
    """The first bytes of files that are no PNG or JPEG, by the words for what they are."""
    return {
        "a GIF": b"GIF89a\1\0\1\0\0\0\0;",
        "a TIFF": b"II*\0\x08\0\0\0",
        "a WebP": b"RIFF\x1a\0\0\0WEBPVP8L",
        "a BMP": b"BM\x3a\0\0\0\0\0",
        "a DICOM": bytes(128) + b"DICM",
        "a PDF": b"%PDF-1.7\n",
        "a zip": b"PK\3\4 zip",
        "a text": "<html>Bitte anmelden \N{EN DASH} log in</html>".encode() * 40,
        "another kind of": b"\0\1\2\3 nothing known",
    }
