"""One image file to one square uint8 tensor."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as transforms

from harness.data.png import png_fault
from harness.data.stain import StainProfile, normalise_stain

Resize = Literal["squash", "crop"]


@dataclass(frozen=True)
class PixelRecipe:
    """How an image file becomes pixels.

    Attributes:
        size: Side of the square in pixels.
        resize: ``squash`` both sides to the square, or scale the short side and ``crop`` the centre.
        stain: The reference of the stain normalisation, or None to leave colours as they are. It is applied after
            resizing.
    """

    size: int
    resize: Resize
    stain: StainProfile | None


@dataclass(frozen=True)
class DecodedImage:
    """What one file gave.

    Attributes:
        pixels: uint8 (3, size, size), RGB.
        content: sha256 of the full-size pixels and their shape: equal for files that show the same picture.
        stained: False where normalisation was asked for but the image's stains could not be told.
    """

    pixels: NDArray[np.uint8]
    content: str
    stained: bool


def decode(path: Path, recipe: PixelRecipe) -> DecodedImage:
    """Decode, resize and stain-normalise one file.

    Raises:
        RuntimeError: The file is no image that can be decoded.
        OSError: The file cannot be read.
    """
    image = decode_full_size(path)
    pixels = resize_square(image, recipe.size, recipe.resize).numpy()
    painted = normalise_stain(pixels, recipe.stain) if recipe.stain else pixels
    return DecodedImage(pixels if painted is None else painted, content_digest(image), painted is not None)


def decode_full_size(path: Path) -> torch.Tensor:
    """Decode a PNG or JPEG file: uint8 (3, H, W), RGB.

    Raises:
        RuntimeError: The file is no image that can be decoded.
        OSError: The file cannot be read.
    """
    data = path.read_bytes()
    if not data:
        raise RuntimeError("the file is empty")
    # torchvision's PNG decoder crashes the whole process on some corrupted streams
    if fault := png_fault(data):
        raise RuntimeError(fault)
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    image: torch.Tensor = decode_image(encoded, mode=ImageReadMode.RGB)
    return image


def resize_square(image: torch.Tensor, size: int, how: Resize) -> torch.Tensor:
    """Resize uint8 (3, H, W) to uint8 (3, size, size), bilinear with antialiasing."""
    resized: torch.Tensor = transforms.resize(image, [size, size] if how == "squash" else [size], antialias=True)
    square: torch.Tensor = transforms.center_crop(resized, [size, size])
    return square


def content_digest(image: torch.Tensor) -> str:
    """Return sha256 over an image's shape and pixels: uint8 (3, H, W)."""
    digest = hashlib.sha256(repr(tuple(image.shape)).encode())
    digest.update(image.numpy().tobytes())
    return digest.hexdigest()
