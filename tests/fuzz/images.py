"""Image files, spoilt: chunks with true checksums, pixel streams, headers, and plain bytes."""

from __future__ import annotations

import struct
import zlib
from random import Random

import numpy as np
import torch
from mutate import spoil_bytes
from torchvision.io import encode_jpeg, encode_png

from harness.data.decode import decode_bytes, resize_square
from harness.data.stain import PER_IMAGE

_PICTURE = torch.arange(3 * 6 * 8, dtype=torch.uint8).reshape(3, 6, 8)
_PNG = encode_png(_PICTURE).numpy().tobytes()
_JPEG = encode_jpeg(_PICTURE).numpy().tobytes()
_EXIF = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_EXTRA = (
    b"PLTE",
    b"tRNS",
    b"gAMA",
    b"eXIf",
    b"iCCP",
    b"zTXt",
    b"bKGD",
    b"sBIT",
    b"pHYs",
    b"acTL",
    b"IHDR",
    b"IDAT",
    b"ABCD",
)


def make_image(rng: Random) -> bytes:
    """A PNG, a JPEG, or nearly one."""
    kind = rng.randrange(8)
    if kind < 4:
        content = _png(rng)
    elif kind < 6:
        content = _jpeg(rng)
    else:
        content = _PNG if kind == 6 else _JPEG
    return spoil_bytes(rng, content) if kind >= 6 or rng.random() < 0.3 else content


def read_image(content: bytes) -> object:
    """Decode, resize both ways and normalise, as a run does."""
    image = decode_bytes(content)
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise AssertionError(f"decoded to {image.dtype} {tuple(image.shape)}")
    for how in ("squash", "crop"):
        square = resize_square(image, 16, how).numpy()
        if square.shape != (3, 16, 16):
            raise AssertionError(f"resized to {square.shape}")
    painted = [normalise(square) for normalise in PER_IMAGE.values()]
    return all(one is None or one.dtype == np.uint8 for one in painted)


def _png(rng: Random) -> bytes:
    width, height = rng.choice((1, 2, 7, 8, 9)), rng.choice((1, 3, 8))
    colour, depth = rng.choice((0, 2, 3, 4, 6)), rng.choice((1, 2, 4, 8, 8, 16))
    interlaced = rng.randrange(2)
    row = 1 + (width * depth * _CHANNELS[colour] + 7) // 8
    rows = b"".join(
        bytes([rng.randrange(6) if rng.random() < 0.05 else rng.randrange(5)]) + rng.randbytes(row - 1)
        for _ in range(height * 2)
    )
    header = bytearray(struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    if rng.random() < 0.2:
        header[rng.randrange(13)] = rng.randrange(256)
    chunks = [(b"IHDR", bytes(header))]
    if colour == 3 or rng.random() < 0.1:
        chunks.append((b"PLTE", rng.randbytes(3 * rng.randint(0, 20))))
    for _ in range(rng.choice((0, 0, 1, 2))):
        kind = rng.choice(_EXTRA)
        body = spoil_bytes(rng, _EXIF) if kind == b"eXIf" else rng.randbytes(rng.randint(0, 30))
        chunks.insert(rng.randint(0, len(chunks)), (kind, body))
    packed = zlib.compress(rows[: rng.choice((len(rows), len(rows), len(rows) // 2))], rng.choice((0, 6)))
    cut = rng.randint(0, len(packed))
    chunks += rng.choice(
        (
            [(b"IDAT", packed)],
            [(b"IDAT", packed[:cut]), (b"IDAT", packed[cut:])],
            [(b"IDAT", packed[:cut]), (b"tEXt", b"a\0b"), (b"IDAT", packed[cut:])],
            [(b"IDAT", spoil_bytes(rng, packed))],
        )
    )
    packed_chunks = (
        struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in [*chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed_chunks)


def _jpeg(rng: Random) -> bytes:
    content = bytearray(_JPEG)
    frame = content.index(b"\xff\xc0")
    what = rng.randrange(4)
    if what == 0:
        content[frame + 5 : frame + 9] = struct.pack(">HH", *(rng.choice((0, 1, 8, 300, 65535)) for _ in range(2)))
    elif what == 1:
        content[frame + 1] = 0xC0 + rng.randrange(16)
    elif what == 2:
        exif = spoil_bytes(rng, _EXIF)
        content[2:2] = b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif
    else:
        place = rng.randrange(frame, len(content))
        hole = rng.choice((1, 1, 8, 64))
        content[place : place + hole] = rng.randbytes(1) * len(content[place : place + hole])
    return bytes(content)
