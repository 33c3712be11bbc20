"""Numba kernels of stain normalisation, with NumPy fallbacks of equal results."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from harness.kernels import compiled

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

FAINT = 0.15
"""Optical density up to which a pixel is background: beta of Macenko et al., ISBI 2009."""

_SAMPLE = 1024
"""Values by which it is guessed where a percentile lies."""
_MARGIN = 3
"""How many times the share of values beyond a percentile is put in order."""


def percentile_levels(pixels: Bytes, percent: float) -> list[float]:
    """Return ``np.percentile`` of each row of uint8 (3, N)."""
    count = _count_levels.machine_code
    if count is None:
        found: list[float] = np.percentile(pixels, percent, axis=1).tolist()
        return found
    place = (pixels.shape[1] - 1) * (percent / 100)
    rank = math.floor(place)
    below = np.cumsum(count(pixels), axis=1)
    ranks = (rank, min(rank + 1, pixels.shape[1] - 1))
    levels = [np.searchsorted(row, ranks, side="right").tolist() for row in below]
    return [_between(lower, upper, place - rank) for lower, upper in levels]


@compiled("int64[:, ::1](Array(uint8, 2, 'C', readonly=True))")
def _count_levels(pixels: Bytes) -> NDArray[np.int64]:
    counts = np.zeros((3, 256), np.int64)
    for i in range(pixels.shape[1]):  # three channels at once: neighbours within one are often equal and would wait
        counts[0, pixels[0, i]] += 1
        counts[1, pixels[1, i]] += 1
        counts[2, pixels[2, i]] += 1
    return counts


def densities(pixels: Bytes, table: Floats) -> tuple[Floats, Floats]:
    """Look up optical densities.

    Args:
        pixels: uint8 (3, N).
        table: float64 (3, 256), the density of each value.

    Returns:
        float64 (3, N); and those of the n pixels that are tissue, denser than :data:`FAINT` in all channels, (n, 3).
    """
    found = np.empty(pixels.shape)
    if fill := _fill_densities.machine_code:
        tissue = np.empty((pixels.shape[1], 3))
        return found, tissue[: fill(pixels, table, found, tissue)]
    for channel, row in enumerate(pixels):
        found[channel] = table[channel][row]
    return found, np.ascontiguousarray(found[:, (found > FAINT).all(axis=0)].T)


@compiled("int64(Array(uint8, 2, 'C', readonly=True), float64[:, ::1], float64[:, ::1], float64[:, ::1])")
def _fill_densities(pixels: Bytes, table: Floats, found: Floats, tissue: Floats) -> int:
    n = 0
    for i in range(pixels.shape[1]):
        red, green, blue = table[0, pixels[0, i]], table[1, pixels[1, i]], table[2, pixels[2, i]]
        found[0, i], found[1, i], found[2, i] = red, green, blue
        tissue[n, 0], tissue[n, 1], tissue[n, 2] = red, green, blue  # overwritten by the next if it is background
        n += int((red > FAINT) & (green > FAINT) & (blue > FAINT))
    return n


def covariance(tissue: Floats) -> Floats:
    """Return the covariance (3, 3) of float64 (n, 3), summed from first to last.

    NumPy's einsum is no BLAS: the bits must not depend on the number of threads.
    """
    if find := _covariance.machine_code:
        return find(tissue)
    centred = tissue.T - tissue.T.mean(axis=1, keepdims=True)
    found: Floats = np.einsum("in,jn->ij", centred, centred) / len(tissue)
    return found


@compiled("float64[:, ::1](float64[:, ::1])")
def _covariance(tissue: Floats) -> Floats:
    n = len(tissue)
    red_sum = green_sum = blue_sum = 0.0
    for i in range(n):
        red_sum += tissue[i, 0]
        green_sum += tissue[i, 1]
        blue_sum += tissue[i, 2]
    red_mean, green_mean, blue_mean = red_sum / n, green_sum / n, blue_sum / n
    rr = rg = rb = gg = gb = bb = 0.0
    for i in range(n):
        red, green, blue = tissue[i, 0] - red_mean, tissue[i, 1] - green_mean, tissue[i, 2] - blue_mean
        rr += red * red
        rg += red * green
        rb += red * blue
        gg += green * green
        gb += green * blue
        bb += blue * blue
    return np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]]) / n


def percentile(values: Floats, percent: float) -> float:
    """Return ``np.percentile`` of float64 (N,), finite and N at least 1."""
    place = (len(values) - 1) * (percent / 100)
    rank = math.floor(place)
    ranks = (rank, min(rank + 1, len(values) - 1))
    side, left_out = _upper_side(values, rank) if percent > 50 else _lower_side(values, ranks[1])
    lower, upper = np.partition(side, [rank - left_out for rank in ranks])[[rank - left_out for rank in ranks]].tolist()
    return _between(lower, upper, place - rank)


def _upper_side(values: Floats, rank: int) -> tuple[Floats, int]:
    """Return the largest values, that of the rank among them, and how many are left out: few are quickly ordered."""
    sample = values[:: max(1, len(values) // _SAMPLE)]
    kept = min(_MARGIN * (len(values) - rank) * len(sample) // len(values), len(sample) - 1)
    side = values[values >= np.partition(sample, -1 - kept)[-1 - kept]]
    left_out = len(values) - len(side)
    return (side, left_out) if left_out <= rank else (values, 0)  # where the sample has misled


def _lower_side(values: Floats, rank: int) -> tuple[Floats, int]:
    """Return the smallest values, that of the rank among them, and that none below them is left out."""
    side, _ = _upper_side(-values, len(values) - 1 - rank)
    return -side, 0


def _between(lower: float, upper: float, share: float) -> float:
    """Interpolate between two neighbours as ``np.percentile`` does, to the bit."""
    return upper - (upper - lower) * (1 - share) if share >= 0.5 else lower + (upper - lower) * share


def eight_bits(values: Floats, light: Floats) -> Bytes:
    """Return light times values, rounded to the nearest of 0 to 255: float64 (3, N) and (3,) to uint8 (3, N)."""
    if round_bytes := _eight_bits.machine_code:
        painted = np.empty(values.shape, np.uint8)
        round_bytes(values, light, painted)
        return painted
    return np.clip(np.rint(light[:, None] * values), 0, 255).astype(np.uint8)


@compiled("void(float64[:, ::1], float64[::1], uint8[:, ::1])")
def _eight_bits(values: Floats, light: Floats, painted: Bytes) -> None:
    for channel in range(3):
        for i in range(values.shape[1]):
            painted[channel, i] = np.uint8(min(max(np.rint(light[channel] * values[channel, i]), 0.0), 255.0))


def translate(pixels: Bytes, table: Bytes) -> Bytes:
    """Replace each value by its entry in the channel's table: uint8 (3, N) and (3, 256) to uint8 (3, N)."""
    found = np.empty(pixels.shape, np.uint8)
    if fill := _translate.machine_code:
        fill(pixels, table, found)
        return found
    for channel, row in enumerate(pixels):
        found[channel] = table[channel][row]
    return found


@compiled("void(Array(uint8, 2, 'C', readonly=True), uint8[:, ::1], uint8[:, ::1])")
def _translate(pixels: Bytes, table: Bytes, found: Bytes) -> None:
    for channel in range(3):
        for i in range(pixels.shape[1]):
            found[channel, i] = table[channel, pixels[channel, i]]
