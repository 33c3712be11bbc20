"""Stain normalisation after Macenko et al., "A method for normalizing histology slides", ISBI 2009.

An image's optical density is explained by two stain vectors (haematoxylin and eosin) found in the image itself; it is
painted again with the vectors and the maximal concentrations of a reference. The published reference below is the one
of Macenko's and Veta's code, so that folds, source sets and other people's runs share it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WHITE = 240.0  # transmitted light, Io in the paper
_MIN_OPTICAL_DENSITY = 0.15  # beta in the paper: what is fainter is background
_PERCENTILE = 1.0  # alpha in the paper
_MIN_TISSUE_SHARE = 0.01
_MIN_SINE_BETWEEN_STAINS = 0.05


@dataclass(frozen=True)
class StainProfile:
    """Two stain vectors and how strong the stains get.

    Attributes:
        vectors: Haematoxylin's and eosin's optical density per channel, unit length: ((r, g, b), (r, g, b)).
        maximum: 99th percentile of each stain's concentration.
    """

    vectors: tuple[tuple[float, float, float], tuple[float, float, float]]
    maximum: tuple[float, float]


PUBLISHED_REFERENCE = StainProfile(
    vectors=((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)), maximum=(1.9705, 1.0308)
)


def estimate_profile(image: NDArray[np.uint8]) -> StainProfile | None:
    """Find an image's stains.

    Args:
        image: uint8 (3, H, W), RGB.

    Returns:
        The profile, or None where there is too little tissue, or only one stain, to tell two stains apart.
    """
    density = _optical_density(image)
    tissue = density[:, (density > _MIN_OPTICAL_DENSITY).all(axis=0)]
    if tissue.shape[1] < max(16, _MIN_TISSUE_SHARE * density.shape[1]):
        return None
    vectors = _stain_vectors(tissue)
    if vectors is None:
        return None
    maximum = np.percentile(_concentrations(density, vectors), 100 - _PERCENTILE, axis=1)
    if (maximum < _MIN_OPTICAL_DENSITY).any():
        return None
    return _profile(vectors, maximum)


def normalise_stain(image: NDArray[np.uint8], reference: StainProfile) -> NDArray[np.uint8] | None:
    """Paint an image as if it had been stained like the reference.

    Args:
        image: uint8 (3, H, W), RGB.
        reference: The stains to paint with.

    Returns:
        uint8 (3, H, W), or None where the image's own stains cannot be told (see :func:`estimate_profile`).
    """
    own = estimate_profile(image)
    if own is None:
        return None
    concentrations = _concentrations(_optical_density(image), np.array(own.vectors))
    concentrations *= (np.array(reference.maximum) / np.array(own.maximum))[:, None]
    painted = _WHITE * np.exp(-(np.array(reference.vectors).T @ concentrations))
    return np.clip(np.rint(painted), 0, 255).astype(np.uint8).reshape(image.shape)


def median_profile(profiles: list[StainProfile]) -> StainProfile:
    """Return the channel-wise median of profiles, vectors brought back to unit length.

    Raises:
        ValueError: ``profiles`` is empty.
    """
    if not profiles:
        raise ValueError("no stain profile to take the median of")
    vectors = np.median([profile.vectors for profile in profiles], axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return _profile(vectors, np.median([profile.maximum for profile in profiles], axis=0))


def _optical_density(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return -np.log((image.reshape(3, -1).astype(np.float64) + 1) / _WHITE)  # (3, H*W)


def _stain_vectors(tissue: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Extreme directions of the tissue's optical density in the plane of its two main axes: (2, 3), H first."""
    centred = tissue - tissue.mean(axis=1, keepdims=True)
    # einsum and not BLAS: the bits must not depend on the number of threads
    covariance = np.einsum("in,jn->ij", centred, centred) / tissue.shape[1]
    plane = np.linalg.eigh(covariance)[1][:, :0:-1]  # (3, 2), largest axis first
    plane *= np.where(plane.sum(axis=0) < 0, -1, 1)
    angles = np.arctan2(plane[:, 1] @ tissue, plane[:, 0] @ tissue)
    low, high = np.percentile(angles, (_PERCENTILE, 100 - _PERCENTILE))
    if np.sin(high - low) < _MIN_SINE_BETWEEN_STAINS:
        return None
    pair = np.array([plane @ (np.cos(angle), np.sin(angle)) for angle in (low, high)])
    return pair if pair[0, 0] > pair[1, 0] else pair[::-1]  # haematoxylin absorbs more red than eosin does


def _concentrations(density: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    solved: NDArray[np.float64] = np.linalg.pinv(vectors.T) @ density  # (2, H*W), least squares
    return solved


def _profile(vectors: NDArray[np.float64], maximum: NDArray[np.float64]) -> StainProfile:
    haematoxylin, eosin = vectors.tolist()
    return StainProfile((tuple(haematoxylin), tuple(eosin)), (float(maximum[0]), float(maximum[1])))
