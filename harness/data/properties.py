"""Simple properties of a picture that may predict its class without showing tissue.

Shortcuts (Geirhos et al., Nature Machine Intelligence 2020): how slides were photographed differs between the classes
of BreakHis, and keeping patients apart does not protect against it. The baselines that use these properties and the
audit that measures them share the definitions here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.data.stain import WHITE_PERCENTILE

Properties = NDArray[np.float64]
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def white_point(images: NDArray[np.uint8]) -> Properties:
    """Return the 99th percentile of red, green and blue: the light behind the slide.

    Args:
        images: uint8 (N, 3, H, W), RGB.

    Returns:
        float64 (N, 3), 0 to 255.
    """
    pixels = images.reshape(len(images), 3, -1)
    white: Properties = np.percentile(pixels, WHITE_PERCENTILE, axis=2)
    return white


def mean_colour(images: NDArray[np.uint8]) -> Properties:
    """Return the mean of red, green and blue.

    Args:
        images: uint8 (N, 3, H, W), RGB.

    Returns:
        float64 (N, 3), 0 to 255.
    """
    mean: Properties = images.reshape(len(images), 3, -1).mean(axis=2)
    return mean


def sharpness(images: NDArray[np.uint8]) -> Properties:
    """Return the logarithm of the variance of the grey image's Laplacian (Pech-Pacheco et al., ICPR 2000).

    Args:
        images: uint8 (N, 3, H, W), RGB; H and W at least 3.

    Returns:
        float64 (N, 1); 0 for an image without edges.
    """
    edges: Properties = np.log1p([[_edge_variance(image)] for image in images])
    return edges


def _edge_variance(image: NDArray[np.uint8]) -> float:
    grey = np.einsum("chw,c->hw", image.astype(np.float64), _LUMA)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())
