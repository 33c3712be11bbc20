"""Texture of images as uniform local binary patterns (Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 2002)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2gray, rgb2hed
from skimage.feature import local_binary_pattern

from harness import compiled

Features = NDArray[np.float64]
Channel = Literal["colour", "grey", "haematoxylin"]

_VERSION = 1
_LEVELS = 255
_DENSITY_LEVELS = 10_000  # patterns compare neighbours, so densities must not be rounded to a few levels


@dataclass(frozen=True)
class TextureRecipe:
    """What is computed.

    Attributes:
        radii: Of the patterns, in pixels; each has 8 points a pixel of radius.
        channel: Red, green and blue, each by itself (``colour``), the ``grey`` image, or its ``haematoxylin`` density
            after colour deconvolution.
    """

    radii: tuple[int, ...]
    channel: Channel


def texture_features(images: NDArray[np.uint8], recipe: TextureRecipe, threads: int) -> Features:
    """Describe images by histograms of their patterns.

    Args:
        images: uint8 (N, 3, H, W), RGB.
        recipe: Which patterns.
        threads: How many work at it.

    Returns:
        (N, sum of 8 r + 2 over radii), three times as wide for ``colour``; each radius' histogram sums to 1.
    """
    # threads serve: skimage lets go of the interpreter's lock
    with ThreadPoolExecutor(threads) as pool:
        return np.stack(list(pool.map(lambda image: _features(image, recipe), images)))


def lbp_histograms(channel: NDArray[Any], radii: tuple[int, ...]) -> Features:
    """Return the normalised uniform-LBP histograms of an integer image (H, W), one behind the other."""
    histograms = []
    for radius in radii:
        counts = _count_patterns(channel, radius)
        histograms.append(counts / counts.sum())
    return np.concatenate(histograms)


def _count_patterns(channel: NDArray[Any], radius: int) -> NDArray[np.int64]:
    """Count an image's uniform patterns by their number of ones, mixed ones last: int64 (8 r + 2,)."""
    points = 8 * radius
    if count := _count_compiled.machine_code:
        angles = 2 * np.pi * np.arange(points, dtype=np.float64) / points
        down, right = np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5)
        return count(np.pad(channel.astype(np.float64), radius + 1), radius + 1, down, right)
    patterns = local_binary_pattern(channel, points, radius, method="uniform")  # type: ignore[no-untyped-call]
    return np.bincount(patterns.astype(int).ravel(), minlength=points + 2)


@compiled("int64[::1](float64[:, ::1], int64, float64[::1], float64[::1])")
def _count_compiled(padded: Features, margin: int, down: Features, right: Features) -> NDArray[np.int64]:
    """Do what skimage's ``local_binary_pattern`` does, with a row of pixels at once.

    Every operation is skimage's and in its order: between equal neighbours the last bit of an interpolation decides.

    Args:
        padded: The image, float64, with a margin of zeros.
        margin: Its width in pixels, more than the radius.
        down: Rows from a pixel to each of its neighbours, float64 (P,).
        right: Columns from a pixel to each of its neighbours, float64 (P,).
    """
    width, points = padded.shape[1] - 2 * margin, len(down)
    counts, shares = np.zeros(points + 2, np.int64), np.empty((points, width))
    bits, before = np.empty(width, np.uint16), np.empty(width, np.uint16)
    for point in range(points):
        for column in range(width):  # the share of the right neighbour: its last bit depends on the column
            shares[point, column] = column + right[point] - math.floor(column + right[point])
    for row in range(padded.shape[0] - 2 * margin):
        ones, changes = np.zeros(width, np.uint16), np.zeros(width, np.uint16)
        for point in range(points):
            place = row + down[point]
            share, beside = place - math.floor(place), shares[point]
            upper, lower = padded[margin + math.floor(place)], padded[margin + math.ceil(place)]
            first, second = margin + math.floor(right[point]), margin + math.ceil(right[point])
            a, b, c, d = upper[first:], upper[second:], lower[first:], lower[second:]
            centre = padded[margin + row, margin:]
            for i in range(width):
                top = (1 - beside[i]) * a[i] + beside[i] * b[i]
                bottom = (1 - beside[i]) * c[i] + beside[i] * d[i]
                bits[i] = np.uint16((1 - share) * top + share * bottom - centre[i] >= 0)
            for i in range(width):
                changes[i] += bits[i] ^ before[i] if point else np.uint16(0)
                ones[i] += bits[i]
                before[i] = bits[i]
        for i in range(width):
            counts[ones[i] if changes[i] <= 2 else points + 1] += 1
    return counts


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn uint8 (3, H, W) into grey levels, uint8 (H, W)."""
    levels: NDArray[np.uint8] = np.rint(rgb2gray(image, channel_axis=0) * _LEVELS).astype(np.uint8)
    return levels


def haematoxylin(image: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Turn uint8 (3, H, W) into optical density of haematoxylin in ten-thousandths, uint16 (H, W)."""
    density = rgb2hed(image, channel_axis=0)[0]
    scaled = np.clip(np.rint(density * _DENSITY_LEVELS), 0, np.iinfo(np.uint16).max)
    levels: NDArray[np.uint16] = scaled.astype(np.uint16)
    return levels


_PLANES: dict[Channel, Callable[[NDArray[np.uint8]], Iterable[NDArray[Any]]]] = {
    "colour": lambda image: image,
    "grey": lambda image: [grey(image)],
    "haematoxylin": lambda image: [haematoxylin(image)],
}


def _features(image: NDArray[np.uint8], recipe: TextureRecipe) -> Features:
    return np.concatenate([lbp_histograms(plane, recipe.radii) for plane in _PLANES[recipe.channel](image)])
