"""Several ways to normalise the stain of decoded images, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from harness.benchmarks.contest import Contestant, repeat
from harness.data.stain import (
    PUBLISHED_REFERENCE,
    PUBLISHED_WHITE,
    WHITE_PERCENTILE,
    Macenko,
    PublishedMacenko,
    WhiteBalance,
)

Pixels = NDArray[np.uint8]
Normalise = Callable[[Pixels], object]

_LEAST_DENSITY = 0.15
_VECTORS = np.array(PUBLISHED_REFERENCE.vectors).T  # (3, 2)
_MAXIMUM = np.array(PUBLISHED_REFERENCE.maximum)


def macenko_contestants(images: Sequence[Pixels]) -> list[Contestant]:
    """Return Macenko's method as published, in several ways, and the harness's default against the picture's own white.

    Args:
        images: uint8 (3, H, W) each.
    """
    ways: list[tuple[str, Normalise, str]] = [
        ("NumPy loop", macenko_by_numpy, "float64, as torchstain's NumPy backend"),
        ("torch loop", macenko_by_torch, "float32, as torchstain's torch backend"),
        ("NumPy loop, tables", macenko_by_tables, "float32, logarithms from a table"),
        ("harness, published", PublishedMacenko(), "pictures with too little tissue are left as they are"),
        ("harness, macenko", Macenko(), "the same, against the picture's own white"),
    ]
    return _contestants(ways, images)


def white_balance_contestants(images: Sequence[Pixels]) -> list[Contestant]:
    """Return white balance in several ways.

    Args:
        images: uint8 (3, H, W) each.
    """
    ways: list[tuple[str, Normalise, str]] = [
        ("NumPy loop", balance_by_numpy, "np.percentile, multiply, clip"),
        ("NumPy loop, tables", balance_by_tables, "percentile from a histogram, values from a table"),
        ("harness", WhiteBalance(), "dark pictures are balanced against the published white"),
    ]
    return _contestants(ways, images)


def macenko_by_numpy(image: Pixels) -> Pixels:
    """Normalise as published: uint8 (3, H, W)."""
    density = -np.log((image.reshape(3, -1).T.astype(float) + 1) / PUBLISHED_WHITE)  # (H*W, 3)
    tissue = density[~np.any(density < _LEAST_DENSITY, axis=1)]
    plane = np.linalg.eigh(np.cov(tissue.T))[1][:, 1:3]
    projected = tissue @ plane
    angles = np.arctan2(projected[:, 1], projected[:, 0])
    vectors = _haematoxylin_first(plane, np.percentile(angles, 1), np.percentile(angles, 99))
    stains = np.linalg.lstsq(vectors, density.T, rcond=None)[0]  # (2, H*W)
    stains *= (_MAXIMUM / np.percentile(stains, 99, axis=1))[:, None]
    painted = PUBLISHED_WHITE * np.exp(-_VECTORS @ stains)
    return _eight_bits(painted, image)


def macenko_by_torch(image: Pixels) -> torch.Tensor:
    """Normalise as published, in float32: uint8 (3, H, W)."""
    pixels = torch.from_numpy(image).flatten(1).float()
    density = -torch.log((pixels + 1) / PUBLISHED_WHITE)  # (3, H*W)
    tissue = density[:, ~(density < _LEAST_DENSITY).any(0)]
    plane = torch.linalg.eigh(torch.cov(tissue))[1][:, 1:3]
    projected = plane.T @ tissue
    angles = torch.atan2(projected[1], projected[0])
    low, high = (float(_percentile(angles, percent)) for percent in (1, 99))
    vectors = torch.from_numpy(_haematoxylin_first(plane.numpy(), low, high)).float()
    stains = torch.linalg.lstsq(vectors, density)[0]
    maximum = torch.stack([_percentile(stain, 99) for stain in stains])
    stains *= (torch.from_numpy(_MAXIMUM).float() / maximum)[:, None]
    painted = PUBLISHED_WHITE * torch.exp(-torch.from_numpy(_VECTORS).float() @ stains)
    return painted.round().clamp(0, 255).to(torch.uint8).view(image.shape)


_DENSITIES = -np.log((np.arange(256, dtype=np.float32) + 1) / np.float32(PUBLISHED_WHITE))


def macenko_by_tables(image: Pixels) -> Pixels:
    """Normalise as published, in float32, with as few passes over the pixels as NumPy needs: uint8 (3, H, W)."""
    density = _DENSITIES[image.reshape(3, -1)]  # (3, H*W)
    tissue = density[:, density.min(axis=0) >= _LEAST_DENSITY]
    plane = np.linalg.eigh(np.cov(tissue))[1][:, 1:3].astype(np.float32)
    projected = plane.T @ tissue
    low, high = np.percentile(np.arctan2(projected[1], projected[0]), (1, 99))
    vectors = _haematoxylin_first(plane, low, high).astype(np.float32)
    stains = np.linalg.pinv(vectors) @ density
    stains *= (_MAXIMUM / np.percentile(stains, 99, axis=1)).astype(np.float32)[:, None]
    painted = np.exp(-_VECTORS.astype(np.float32) @ stains)
    painted *= np.float32(PUBLISHED_WHITE)
    return _eight_bits(painted, image)


def balance_by_numpy(image: Pixels) -> Pixels:
    """Scale every channel so that its white becomes the published one: uint8 (3, H, W)."""
    white = np.percentile(image, WHITE_PERCENTILE, axis=(1, 2))
    return _eight_bits(image * (PUBLISHED_WHITE / white)[:, None, None], image)


def balance_by_tables(image: Pixels) -> Pixels:
    """Likewise, by one look at every pixel for the histogram and one for the result: uint8 (3, H, W)."""
    balanced = np.empty_like(image)
    for channel, plane in enumerate(image):
        up_to = np.cumsum(np.bincount(plane.ravel(), minlength=256))
        white = np.searchsorted(up_to, WHITE_PERCENTILE / 100 * (plane.size - 1), side="right")
        balanced[channel] = np.clip(np.rint(np.arange(256) * (PUBLISHED_WHITE / white)), 0, 255).astype(np.uint8)[plane]
    return balanced


def _contestants(ways: Sequence[tuple[str, Normalise, str]], images: Sequence[Pixels]) -> list[Contestant]:
    return [Contestant(name, repeat(partial(_each, way, images), len(images)), message) for name, way, message in ways]


def _each(normalise: Normalise, images: Sequence[Pixels]) -> None:
    for image in images:
        normalise(image)


def _haematoxylin_first(plane: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """Turn two angles in a plane (3, 2) into stain vectors (3, 2)."""
    pair = [plane @ np.array([np.cos(angle), np.sin(angle)]) for angle in (low, high)]
    return np.array(pair if pair[0][0] > pair[1][0] else pair[::-1]).T


def _percentile(values: torch.Tensor, percent: int) -> torch.Tensor:
    return values.kthvalue(1 + round(percent / 100 * (len(values) - 1)))[0]


def _eight_bits(values: NDArray[np.floating], image: Pixels) -> Pixels:
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(image.shape)
    return rounded
