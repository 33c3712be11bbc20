"""Near-duplicate images: a perceptual hash to find them, thumbnails to confirm them.

The hash is the 64-bit DCT hash of Zauner ("Implementation and Benchmarking of Perceptual Image Hash Functions", 2010),
but for two changes. A bit is the sign of a coefficient, not its side of the median, so that the hashes of a turned or
mirrored image follow from the image's own: reversing rows or columns changes the sign of every odd frequency, and
turning over the diagonal transposes the block. And the coefficient (8, 8) stands in the place of (0, 0), the mean
brightness, whose sign is always the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from harness.data.decode import resize_square

THUMBNAIL_SIZE = 32
HASH_BITS = 64

MAX_DIFFERING_BITS = 12
"""Pairs of images whose hashes differ in more bits are no candidates.

Measured on real images over all pairs and eight symmetries: between different accessions of BreakHis (1.0 million
pairs) the least is 12 bits, between different tiles of LC25000 (2.5 million) 11, but for two pairs that do show the
same. Copies differ in 0 to 4 bits after JPEG compression at quality 20, in up to 9 after losing 1 % at each edge;
fields photographed a second time, a few pixels off and under other light, in 6 to 8.
"""

MIN_CORRELATION = 0.85
"""Candidates whose coarse thumbnails correlate less are no near-duplicates.

Correlation of 8 x 8 pixels, each channel's mean taken out. Finer thumbnails separate worse, because copies may be
shifted by a pixel or two. Measured on pairs within 13 bits: different accessions of BreakHis and different tiles of
LC25000 reach at most 0.57, generated pictures 0.80; fields of BreakHis that were photographed twice begin at 0.88, and
half of LC25000's copies that are turned by a few degrees lie above 0.9.
"""

_PAIR = ["first", "second", "symmetry", "differing_bits"]
_LUMA = np.array([0.299, 0.587, 0.114])
_SIDE = 8
_COARSE = 8
_BLOCK = 512
_PAIRS_AT_ONCE = 1 << 16
# Coefficients of flat pictures are zero but for rounding; they have no sign, and no flat picture is like another.
_NO_SIGN = 1e-6


Scalar = TypeVar("Scalar", bound=np.generic)


class Symmetry(NamedTuple):
    """One of the square's eight: transpose if so, then reverse rows, then columns."""

    name: str
    transposes: bool
    reverses_rows: bool
    reverses_columns: bool


SYMMETRIES = (
    Symmetry("as it is", transposes=False, reverses_rows=False, reverses_columns=False),
    Symmetry("turned by 90 degrees", transposes=True, reverses_rows=True, reverses_columns=False),
    Symmetry("turned by 180 degrees", transposes=False, reverses_rows=True, reverses_columns=True),
    Symmetry("turned by 270 degrees", transposes=True, reverses_rows=False, reverses_columns=True),
    Symmetry("mirrored left to right", transposes=False, reverses_rows=False, reverses_columns=True),
    Symmetry("mirrored top to bottom", transposes=False, reverses_rows=True, reverses_columns=False),
    Symmetry("mirrored at the main diagonal", transposes=True, reverses_rows=False, reverses_columns=False),
    Symmetry("mirrored at the other diagonal", transposes=True, reverses_rows=True, reverses_columns=True),
)
"""Turns are anticlockwise. Non-square images are turned after being squashed to the thumbnail's square."""


@dataclass(frozen=True)
class IdenticalImages:
    """Images that are the same, pixel for pixel; ``origins`` says from which slides or tiles they are."""

    images: tuple[str, ...]
    origins: tuple[str, ...]


@dataclass(frozen=True)
class NearDuplicate:
    """Two images that show the same; ``symmetry`` makes of the second the first.

    ``differing_bits`` (of 64) and ``correlation`` say how alike they are.
    """

    images: tuple[str, str]
    origins: tuple[str, ...]
    symmetry: str
    differing_bits: int
    correlation: float


def group_identical(images: pd.DataFrame) -> tuple[IdenticalImages, ...]:
    """Group images of identical pixels, those of several origins first.

    Args:
        images: One row an image: ``image`` (its name), ``origin`` and ``content`` (equal for identical pixels).
    """
    copies = images[images["content"].duplicated(keep=False)].sort_values("image")
    groups = [
        IdenticalImages(tuple(group["image"]), tuple(sorted(set(group["origin"]))))
        for _, group in copies.groupby("content", sort=False)
    ]
    return tuple(sorted(groups, key=lambda group: (len(group.origins) == 1, group.images)))


def find_near_duplicates(images: pd.DataFrame, thumbnails: NDArray[np.uint8]) -> tuple[NearDuplicate, ...]:
    """Look through all pairs of images for the same picture: turned, mirrored, re-encoded or taken again.

    Args:
        images: One row an image: ``image`` (its name), ``origin`` and ``content``; pairs of equal content, which
            :func:`group_identical` finds, are left out.
        thumbnails: uint8 (N, 3, 32, 32), RGB, in the same order.

    Returns:
        The pairs, those of two origins first.
    """
    names, origins = images["image"].to_numpy(), images["origin"].to_numpy()
    found = [
        NearDuplicate(
            (names[pair.first], names[pair.second]),
            tuple(sorted({origins[pair.first], origins[pair.second]})),
            SYMMETRIES[pair.symmetry].name,
            pair.differing_bits,
            round(pair.correlation, 4),
        )
        for pair in _confirmed_pairs(thumbnails, images["content"].to_numpy()).itertuples()
    ]
    return tuple(sorted(found, key=lambda pair: (len(pair.origins) == 1, pair.images)))


def thumbnail(image: torch.Tensor) -> NDArray[np.uint8]:
    """Squash uint8 (3, H, W) to uint8 (3, 32, 32), antialiased."""
    small: NDArray[np.uint8] = resize_square(image, THUMBNAIL_SIZE, "squash").numpy()
    return small


def turn(pixels: NDArray[Scalar], symmetry: Symmetry) -> NDArray[Scalar]:
    """Turn or mirror pixels (..., H, W)."""
    turned = pixels.swapaxes(-2, -1) if symmetry.transposes else pixels
    turned = turned[..., ::-1, :] if symmetry.reverses_rows else turned
    return turned[..., ::-1] if symmetry.reverses_columns else turned


def perceptual_hashes(thumbnails: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Hash thumbnails.

    Args:
        thumbnails: uint8 (N, 3, 32, 32), RGB.

    Returns:
        int8 (N, 8, 8): the signs +1 and -1 of the lowest frequencies, rows by vertical frequency; 0 for a coefficient
        that is zero.
    """
    grey = np.moveaxis(thumbnails, 1, -1) @ _LUMA  # (N, 32, 32)
    cosines = _cosines(_SIDE + 1)
    coefficients = cosines @ grey @ cosines.T  # (N, 9, 9)
    low = coefficients[:, :_SIDE, :_SIDE].copy()
    low[:, 0, 0] = coefficients[:, _SIDE, _SIDE]
    return np.where(np.abs(low) < _NO_SIGN, 0, np.sign(low)).astype(np.int8)


def turn_hashes(hashes: NDArray[np.int8], symmetry: Symmetry) -> NDArray[np.int8]:
    """Return the hashes that the turned images have, from those of the images: int8 (N, 8, 8)."""
    alternating = np.resize(np.array([1, -1], np.int8), _SIDE)
    turned = hashes.swapaxes(1, 2) if symmetry.transposes else hashes
    turned = turned * alternating[:, None] if symmetry.reverses_rows else turned
    return turned * alternating if symmetry.reverses_columns else turned


def _confirmed_pairs(thumbnails: NDArray[np.uint8], contents: NDArray[np.object_]) -> pd.DataFrame:
    """Rows ``first < second``, ``symmetry`` (its number), ``differing_bits`` and ``correlation``."""
    found = np.concatenate([np.empty((0, len(_PAIR)), np.int64), *_candidates(perceptual_hashes(thumbnails))])
    pairs = pd.DataFrame(found[contents[found[:, 0]] != contents[found[:, 1]]], columns=_PAIR)
    pairs = pairs.sort_values(["first", "second", "differing_bits", "symmetry"]).drop_duplicates(["first", "second"])
    pairs = pairs.assign(correlation=_correlations(_coarsen(thumbnails), pairs))
    return pairs[pairs["correlation"] >= MIN_CORRELATION]


def _cosines(frequencies: int) -> NDArray[np.float64]:
    """Rows of the DCT-II; their scale does not matter to signs."""
    places = (2 * np.arange(THUMBNAIL_SIZE) + 1) * np.pi / (2 * THUMBNAIL_SIZE)
    return np.cos(np.arange(frequencies)[:, None] * places)


def _candidates(hashes: NDArray[np.int8]) -> Iterator[NDArray[np.int64]]:
    """Compare all pairs as products of matrices: signs that agree count +1, others -1."""
    plain = hashes.reshape(-1, HASH_BITS).astype(np.float32)
    for number, symmetry in enumerate(SYMMETRIES):
        turned = turn_hashes(hashes, symmetry).reshape(-1, HASH_BITS).astype(np.float32)
        for start in range(0, len(plain), _BLOCK):
            agreement = plain[start : start + _BLOCK] @ turned[start:].T
            rows, columns = np.nonzero(agreement >= HASH_BITS - 2 * MAX_DIFFERING_BITS)
            ahead = columns > rows  # each pair once: the inverse of each symmetry is among the eight
            rows, columns = rows[ahead], columns[ahead]
            differing = ((HASH_BITS - agreement[rows, columns]) / 2).astype(np.int64)
            yield np.column_stack([rows + start, columns + start, np.full_like(rows, number), differing])


def _coarsen(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average to (N, 3, 8, 8), take out each channel's mean, and scale to length 1."""
    size = THUMBNAIL_SIZE // _COARSE
    blocks = thumbnails.reshape(-1, 3, _COARSE, size, _COARSE, size)
    coarse: NDArray[np.float32] = blocks.mean(axis=(3, 5), dtype=np.float32)
    coarse -= coarse.mean(axis=(2, 3), keepdims=True)
    lengths = np.sqrt((coarse**2).sum(axis=(1, 2, 3), keepdims=True))
    coarse /= np.maximum(lengths, np.finfo(np.float32).tiny)
    return coarse


def _correlations(coarse: NDArray[np.float32], pairs: pd.DataFrame) -> NDArray[np.float64]:
    correlations = np.zeros(len(pairs))
    for number, symmetry in enumerate(SYMMETRIES):
        places = np.flatnonzero(pairs["symmetry"] == number)
        for start in range(0, len(places), _PAIRS_AT_ONCE):
            chosen = places[start : start + _PAIRS_AT_ONCE]
            first, second = (coarse[pairs[column].to_numpy()[chosen]] for column in ("first", "second"))
            correlations[chosen] = (first * turn(second, symmetry)).sum(axis=(1, 2, 3))
    return correlations
