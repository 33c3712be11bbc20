"""Lightness of the background, the part of a picture that shows no tissue, after stain normalisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.data.stain import estimate_white

DARK_LEVEL = 170.0
"""A background whose median grey is darker has become a stain.

Against a white of 240 it is an optical density of 0.34, more than twice what Macenko's method takes for background.
"""

_FAINT = 0.15  # optical density against the picture's own white


def background_level(plain: NDArray[np.uint8], painted: NDArray[np.uint8]) -> float:
    """Return how light the background is after normalisation.

    Args:
        plain: uint8 (3, H, W), RGB, before.
        painted: The same picture after it.

    Returns:
        Median over the background's pixels of the mean of their channels, 0 to 255; NaN for a picture without any.
    """
    white = np.array(estimate_white(plain))[:, None]
    density = -np.log((plain.reshape(3, -1) + 1.0) / white)
    background = (density < _FAINT).all(axis=0)
    return float(np.median(painted.reshape(3, -1)[:, background].mean(axis=0))) if background.any() else float("nan")
