"""Texture of images as uniform local binary patterns (Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 2002)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2gray, rgb2hed
from skimage.feature import local_binary_pattern

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


def texture_features(images: NDArray[np.uint8], recipe: TextureRecipe, threads: int | None = None) -> Features:
    """Describe images by histograms of their patterns.

    Args:
        images: uint8 (N, 3, H, W), RGB.
        recipe: Which patterns.
        threads: How many; one a core by default.

    Returns:
        (N, sum of 8 r + 2 over radii), three times as wide for ``colour``; each radius' histogram sums to 1.
    """
    # threads serve: skimage lets go of the interpreter's lock
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        return np.stack(list(pool.map(lambda image: _features(image, recipe), images)))


def lbp_histograms(channel: NDArray[Any], radii: tuple[int, ...]) -> Features:
    """Return the normalised uniform-LBP histograms of an integer image (H, W), one behind the other."""
    histograms = []
    for radius in radii:
        points = 8 * radius
        patterns = local_binary_pattern(channel, points, radius, method="uniform")  # type: ignore[no-untyped-call]
        counts = np.bincount(patterns.astype(int).ravel(), minlength=points + 2)
        histograms.append(counts / counts.sum())
    return np.concatenate(histograms)


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
