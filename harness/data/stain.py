"""Stain normalisation: Macenko in four variants, Reinhard, and white balance alone.

Macenko et al., "A method for normalizing histology slides", ISBI 2009: an image's optical density is explained by two
stain vectors (haematoxylin and eosin) found in the image itself; it is painted again with the vectors and the maximal
concentrations of a reference. The published reference below is the one of Macenko's and Veta's code, so that folds,
source sets and other people's runs share it.

Optical density is the logarithm of light over what passed, so it needs the light. The published code takes 240 in all
channels for it; BreakHis' slides were photographed under lights from 150 to 255, greenish ones among them, and against
240 a greenish background is a stain. Here the light is the image's own, unless the published method is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.data import stain_kernels as kernels
from harness.data.options import StainMethod

Colour = tuple[float, float, float]

PUBLISHED_WHITE = 240.0
"""Transmitted light, Io, of Macenko's code."""

WHITE_PERCENTILE = 99.0
"""Of a channel's values: the light behind the slide, wherever a hundredth of the picture is free of tissue."""

_DARKEST_WHITE = 120.0  # darker than this, the lightest hundredth is no light but tissue
_PERCENTILE = 1.0  # alpha in the paper
_MIN_TISSUE_SHARE = 0.01
_MIN_SINE_BETWEEN_STAINS = 0.05


@dataclass(frozen=True)
class StainProfile:
    """Two stain vectors, how strong the stains get, and the light behind them.

    Attributes:
        vectors: Haematoxylin's and eosin's optical density per channel, unit length: ((r, g, b), (r, g, b)).
        maximum: 99th percentile of each stain's concentration.
        white: Transmitted light per channel, 0 to 255.
    """

    vectors: tuple[Colour, Colour]
    maximum: tuple[float, float]
    white: Colour = (PUBLISHED_WHITE,) * 3


PUBLISHED_REFERENCE = StainProfile(
    vectors=((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)), maximum=(1.9705, 1.0308)
)


class StainNormaliser(Protocol):
    """Something that paints an image in standard colours."""

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Return an image uint8 (3, H, W) in standard colours; None where its own stains cannot be told."""


@dataclass(frozen=True)
class Macenko:
    """Macenko's method against an image's own white, stains matched to the reference's by angle.

    Attributes:
        reference: The stains to paint with.
        own: The image's profile, if others had a say in it, such as the pictures of its slide; otherwise estimated.
    """

    reference: StainProfile = PUBLISHED_REFERENCE
    own: StainProfile | None = None

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """See :class:`StainNormaliser`."""
        if self.own is not None:
            amounts = _concentrations(_optical_density(image, self.own.white)[0], np.array(self.own.vectors))
            return _repaint(image.shape, self.own, amounts, self.reference)
        found = _separate(image)
        return None if found is None else _repaint(image.shape, *found, self.reference)


@dataclass(frozen=True)
class PublishedMacenko:
    """Macenko's method as its code was published: a fixed white of 240, haematoxylin the stain that absorbs more red.

    On tinted backgrounds it goes wrong: they become a stain, and the two stains change places.
    """

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """See :class:`StainNormaliser`."""
        found = _separate_as_published(image)
        return None if found is None else _repaint(image.shape, *found, PUBLISHED_REFERENCE)


@dataclass(frozen=True)
class Reinhard:
    """Mean and deviation of every l-alpha-beta channel moved to a reference's.

    Reinhard et al., "Color transfer between images", IEEE CG&A 2001. The default
    is the reference of HistomicsTK, breast slide TCGA-A2-A3XS of Amgad et al., Bioinformatics 2019.

    Attributes:
        mean: Of l, alpha and beta (natural logarithms of the cones' answers to colours from 0 to 255).
        deviation: Likewise.
    """

    mean: Colour = (8.74108109, -0.12440419, 0.0444982)
    deviation: Colour = (0.6135447, 0.10989545, 0.0286032)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """See :class:`StainNormaliser`."""
        opponent = _TO_OPPONENT @ np.log(_TO_CONES @ (image.reshape(3, -1).astype(np.float64) + 1))
        mean, deviation = opponent.mean(axis=1, keepdims=True), opponent.std(axis=1, keepdims=True)
        if (deviation < _FLAT).any():
            return None  # a picture of one colour has no contrast to stretch
        moved = (opponent - mean) / deviation * np.array(self.deviation)[:, None] + np.array(self.mean)[:, None]
        return _eight_bits(_TO_COLOURS @ np.exp(np.linalg.solve(_TO_OPPONENT, moved)) - 1, image.shape)


_FLAT = 1e-6
# Ruderman, Cronin & Chiao, JOSA A 1998, as printed by Reinhard et al.
_TO_CONES = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_TO_COLOURS = np.linalg.inv(_TO_CONES)
_TO_OPPONENT = np.diag([1 / np.sqrt(3), 1 / np.sqrt(6), 1 / np.sqrt(2)]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])


@dataclass(frozen=True)
class WhiteBalance:
    """Every channel scaled so that the image's white becomes a given grey: the light is taken out, stains are left."""

    white: float = PUBLISHED_WHITE

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """See :class:`StainNormaliser`."""
        scale = self.white / np.array(estimate_white(image))
        table = _eight_bits(np.arange(256) * scale[:, None], (3, 256))
        return kernels.translate(_pixels(image), table).reshape(image.shape)


PER_IMAGE: dict[StainMethod, StainNormaliser] = {
    "macenko": Macenko(),
    "published": PublishedMacenko(),
    "reinhard": Reinhard(),
    "white-balance": WhiteBalance(),
}
"""The methods that look at nothing but the image itself."""


def estimate_white(image: NDArray[np.uint8]) -> Colour:
    """Estimate the light behind a slide: the 99th percentile of each channel.

    Args:
        image: uint8 (3, H, W), RGB.

    Returns:
        1 to 255 per channel; the published 240 where the picture is so dark that its lightest hundredth must be tissue.
    """
    red, green, blue = kernels.percentile_levels(_pixels(image), WHITE_PERCENTILE)
    return (PUBLISHED_WHITE,) * 3 if min(red, green, blue) < _DARKEST_WHITE else (red, green, blue)


def estimate_profile(image: NDArray[np.uint8], reference: StainProfile = PUBLISHED_REFERENCE) -> StainProfile | None:
    """Find an image's white and stains.

    Args:
        image: uint8 (3, H, W), RGB.
        reference: Which stain is which is told by the smaller angle to its vectors.

    Returns:
        The profile, or None where there is too little tissue, or only one stain, to tell two stains apart.
    """
    found = _separate(image, reference)
    return None if found is None else found[0]


def published_profile(image: NDArray[np.uint8]) -> StainProfile | None:
    """Find an image's stains as the published code does: white 240, haematoxylin absorbs more red than eosin.

    Args:
        image: uint8 (3, H, W), RGB.

    Returns:
        As :func:`estimate_profile`.
    """
    found = _separate_as_published(image)
    return None if found is None else found[0]


def is_swapped(profile: StainProfile, reference: StainProfile = PUBLISHED_REFERENCE) -> bool:
    """Tell whether a profile's haematoxylin is nearer to the reference's eosin, and its eosin to the haematoxylin."""
    return not _matches(np.array(profile.vectors), reference)


def median_profile(profiles: Sequence[StainProfile]) -> StainProfile:
    """Return the channel-wise median of profiles, vectors brought back to unit length.

    Raises:
        ValueError: ``profiles`` is empty.
    """
    if not profiles:
        raise ValueError("no stain profile to take the median of")
    vectors = np.median([profile.vectors for profile in profiles], axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    maximum = np.median([profile.maximum for profile in profiles], axis=0)
    red, green, blue = np.median([profile.white for profile in profiles], axis=0).tolist()
    return _profile(vectors, maximum.tolist(), (red, green, blue))


_Separated = tuple[StainProfile, NDArray[np.float64]]
"""A profile, and the concentration of its stains in each pixel: (2, N)."""


def _separate(image: NDArray[np.uint8], reference: StainProfile = PUBLISHED_REFERENCE) -> _Separated | None:
    return _separate_against(image, estimate_white(image), lambda pair: _matches(pair, reference))


def _separate_as_published(image: NDArray[np.uint8]) -> _Separated | None:
    return _separate_against(image, (PUBLISHED_WHITE,) * 3, lambda pair: bool(pair[0, 0] > pair[1, 0]))


def _separate_against(
    image: NDArray[np.uint8], white: Colour, in_order: Callable[[NDArray[np.float64]], bool]
) -> _Separated | None:
    density, tissue = _optical_density(image, white)
    if len(tissue) < max(16, _MIN_TISSUE_SHARE * density.shape[1]):
        return None
    pair = _stain_vectors(tissue)
    if pair is None:
        return None
    vectors = pair if in_order(pair) else pair[::-1]
    amounts = _concentrations(density, vectors)
    maximum = [kernels.percentile(stain, 100 - _PERCENTILE) for stain in amounts]
    return None if min(maximum) < kernels.FAINT else (_profile(vectors, maximum, white), amounts)


def _repaint(
    shape: tuple[int, ...], own: StainProfile, amounts: NDArray[np.float64], reference: StainProfile
) -> NDArray[np.uint8]:
    """Paint concentrations of an image's own stains with the reference's; what is handed in is spent."""
    amounts *= (np.array(reference.maximum) / np.array(own.maximum))[:, None]
    density = np.array(reference.vectors).T @ amounts
    passed = np.exp(np.negative(density, out=density), out=density)
    return kernels.eight_bits(passed, np.array(reference.white)).reshape(shape)


def _pixels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image).reshape(3, -1)


def _optical_density(image: NDArray[np.uint8], white: Colour) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Density of all pixels, (3, N), and of the tissue's, (n, 3)."""
    table = -np.log((np.arange(256.0) + 1) / np.array(white)[:, None])
    return kernels.densities(_pixels(image), table)


def _stain_vectors(tissue: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Extreme directions of the tissue's optical density in the plane of its two main axes, in no order: (2, 3)."""
    plane = np.linalg.eigh(kernels.covariance(tissue))[1][:, :0:-1]  # (3, 2), largest axis first
    plane *= np.where(plane.sum(axis=0) < 0, -1, 1)
    angles = np.arctan2(plane[:, 1] @ tissue.T, plane[:, 0] @ tissue.T)
    low, high = kernels.percentile(angles, _PERCENTILE), kernels.percentile(angles, 100 - _PERCENTILE)
    if np.sin(high - low) < _MIN_SINE_BETWEEN_STAINS:
        return None
    pair: NDArray[np.float64] = np.array([plane @ (np.cos(angle), np.sin(angle)) for angle in (low, high)])
    return pair


def _matches(pair: NDArray[np.float64], reference: StainProfile) -> bool:
    """Whether both stains, taken together, are nearer to the reference's in this order than in the other."""
    angles = np.arccos(np.clip(pair @ np.array(reference.vectors).T, -1, 1))  # (2, 2)
    return bool(angles[0, 0] + angles[1, 1] <= angles[0, 1] + angles[1, 0])


def _concentrations(density: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    solved: NDArray[np.float64] = np.linalg.pinv(vectors.T) @ density  # (2, H*W), least squares
    return solved


def _profile(vectors: NDArray[np.float64], maximum: Sequence[float], white: Colour) -> StainProfile:
    haematoxylin, eosin = vectors.tolist()
    return StainProfile((tuple(haematoxylin), tuple(eosin)), (maximum[0], maximum[1]), white)


def _eight_bits(values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(shape)
