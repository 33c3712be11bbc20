"""Image decoding: the bytes of a file to one square uint8 tensor."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as transforms

from harness.data.encoded import MAX_FILE_BYTES, format_fault
from harness.data.jpeg import jpeg_fault, jpeg_warnings
from harness.data.options import Resize
from harness.data.pixel_order import planes_of, unfilter_rgb
from harness.data.png import UnpackedPng, unpack_png
from harness.data.stain import StainNormaliser
from harness.errors import DataError

_EVERY = 8
"""Of the pixels of a resized picture, in both directions, one is in its fingerprint."""


@dataclass(frozen=True)
class PixelRecipe:
    """How an image file becomes pixels.

    Attributes:
        size: Side of the square in pixels.
        resize: ``squash`` both sides to the square, or scale the short side and ``crop`` the centre.
        stain: Normalises colours after resizing; None leaves them as they are.
    """

    size: int
    resize: Resize
    stain: StainNormaliser | None


@dataclass(frozen=True)
class DecodedImage:
    """What one file gave.

    Attributes:
        pixels: uint8 (3, size, size), RGB.
        fingerprint: sha256 of some of the resized pixels and of the full-size shape: equal for files that show the same
            picture, and for few others; :func:`content_digest` tells these apart, and takes longer.
        stained: False where normalisation was asked for but the image's stains could not be told.
    """

    pixels: NDArray[np.uint8]
    fingerprint: str
    stained: bool


def decode(content: bytes, recipe: PixelRecipe) -> DecodedImage:
    """Decode, resize and stain-normalise the bytes of one file.

    Raises:
        RuntimeError: It is no image that can be decoded.
        DataError: There is not enough memory for it.
    """
    image = decode_bytes(content)
    with _enough_memory(content):
        pixels = planes_of(resize_square(image, recipe.size, recipe.resize).numpy())
        painted = recipe.stain(pixels) if recipe.stain else pixels
    fingerprint = _digest(tuple(image.shape), pixels[:, ::_EVERY, ::_EVERY])
    return DecodedImage(pixels if painted is None else painted, fingerprint, painted is not None)


def decode_full_size(path: Path) -> torch.Tensor:
    """Decode a PNG or JPEG file: uint8 (3, H, W), RGB; see :func:`decode_bytes`.

    Raises:
        RuntimeError: The file is no image that can be decoded.
        DataError: The file cannot be read, or there is not enough memory for it.
    """
    return decode_bytes(read_image_file(path))


def decoding_fault(path: Path) -> str | None:
    """Say why a file does not decode as an image, or return None where it does."""
    try:
        decode_full_size(path)
    except RuntimeError as error:
        return str(error)
    return None


def read_image_file(path: Path) -> bytes:
    """Return the bytes of a file that is small enough for an image.

    Raises:
        RuntimeError: It is too large.
        DataError: It cannot be read, which says nothing of what is in it.
    """
    try:
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise RuntimeError(f"the file has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error} - is somebody moving files there?") from error


def decode_bytes(content: bytes) -> torch.Tensor:
    """Decode the bytes of a PNG or JPEG: uint8 (3, H, W), RGB.

    Grey, palette and CMYK pictures become RGB, 16 bits become 8 (rounded), and transparency is left out: a pixel keeps
    the colour that is stored beside it. A picture whose EXIF data say that the camera was turned is turned upright, as
    viewers show it; no file of BreakHis or LC25000 says so.

    Raises:
        RuntimeError: It is no image that can be decoded; the reason is one line. What a decoder only warns of, such as
            compressed pixels that end too early, counts: it has made up what it could not read.
        DataError: There is not enough memory for it.
    """
    # torchvision's PNG decoder crashes the whole process on some corrupted streams, and no decoder asks for the size
    if fault := format_fault(content) or jpeg_fault(content):
        raise RuntimeError(fault)
    with _enough_memory(content):
        png = unpack_png(content)
        plain = _decode_plain(png) if png is not None and png.is_plain else None
    return _decode_any(content) if plain is None else plain


def _decode_plain(png: UnpackedPng) -> torch.Tensor | None:
    """Decode what is unpacked already, which torchvision would do again; None where its kernel is not compiled."""
    if (unfilter := unfilter_rgb.machine_code) is None:
        return None
    filtered = np.frombuffer(png.rows, np.uint8).reshape(png.height, 1 + 3 * png.width)
    rows = np.empty((png.height, 3 * png.width), np.uint8)
    unfilter(filtered, rows)
    return torch.from_numpy(rows.reshape(png.height, png.width, 3)).permute(2, 0, 1)


def _decode_any(content: bytes) -> torch.Tensor:
    """Decode what has passed all checks by torchvision."""
    encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    try:
        with _enough_memory(content), jpeg_warnings(content) as warned:
            image: torch.Tensor = decode_image(encoded, mode=ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError as error:
        raise RuntimeError(_own_words(str(error))) from error
    if warned:
        raise RuntimeError(f"the JPEG is damaged inside: {warned[0]}")
    return image if image.dtype == torch.uint8 else _eight_bits(image)


@contextlib.contextmanager
def _enough_memory(content: bytes) -> Iterator[None]:
    """Tell a lack of memory, which says nothing of the image, in whichever way a library does."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or re.search("allocate|nsufficient memory", str(error)):
            raise DataError(f"not enough memory to decode an image of {len(content):,} bytes") from error
        raise


def _eight_bits(image: torch.Tensor) -> torch.Tensor:
    """Round uint16 (3, H, W) to uint8, channel by channel to spare memory."""
    channels = [np.rint(channel.numpy() / np.float32(257)).astype(np.uint8) for channel in image]
    return torch.from_numpy(np.stack(channels))


def _own_words(message: str) -> str:
    """Strip the source position that torchvision puts before its reason."""
    lines = message.strip().splitlines() or ["it does not decode as an image"]
    return re.sub(r"^.*\.cpp:\d+, ", "", lines[0])


def resize_square(image: torch.Tensor, size: int, how: Resize) -> torch.Tensor:
    """Resize uint8 (3, H, W) to uint8 (3, size, size), bilinear with antialiasing."""
    if how == "squash":
        squashed: torch.Tensor = transforms.resize(image, [size, size], antialias=True)
        return squashed
    square: torch.Tensor = transforms.center_crop(transforms.resize(image, [size], antialias=True), [size, size])
    return square


def content_digest(image: torch.Tensor) -> str:
    """Return sha256 over an image's shape and pixels: uint8 (3, H, W)."""
    return _digest(tuple(image.shape), planes_of(image.numpy()))


def _digest(shape: tuple[int, ...], pixels: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(repr(shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
