"""Sums over rankings under many draws of groups, compiled; ``rank_estimators`` has them in NumPy.

Weights are whole numbers, so that counts of images and of pairs are exact in whatever order they are added up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.kernels import compiled

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_RANKED = "float64[:, ::1], int64[::1], float64[::1], int64[::1], int64[::1], float64[:, :, ::1]"
_BLOCK = 128
"""Draws at a time: those of a fold's groups stay in the processor's first cache."""


@compiled(f"void({_RANKED})")
def sum_precisions(
    drawn: Floats, groups: Places, positive: Floats, last: Places, bounds: Places, sums: NDArray[np.float64]
) -> None:
    """Sum the precisions at the positive images, each in its place from the highest score on.

    Args:
        drawn: How often each draw holds each group, (G, D).
        groups: As in :class:`~harness.evaluation.rank_estimators.Ranking`, (N,).
        positive: Likewise, 0 or 1, (N,).
        last: Likewise, (N,).
        bounds: Likewise, (U + 1,).
        sums: Zeros; filled with those sums, and with the weight of the positive images, (2, U, D).
    """
    right, called = np.empty(_BLOCK), np.empty(_BLOCK)
    for start in range(0, drawn.shape[1], _BLOCK):
        end = min(start + _BLOCK, drawn.shape[1])
        for unit in range(len(bounds) - 1):
            right[:], called[:], first = 0, 0, bounds[unit]
            total = sums[0, unit, start:end]
            while first < bounds[unit + 1]:
                for place in range(first, last[first] + 1):  # images of one score come in together
                    weight, share = drawn[groups[place], start:end], positive[place]
                    for i in range(end - start):
                        called[i] += weight[i]
                        right[i] += weight[i] * share
                for place in range(first, last[first] + 1):
                    if positive[place] > 0:
                        weight = drawn[groups[place], start:end]
                        for i in range(end - start):
                            total[i] += right[i] / (called[i] if called[i] > 0 else 1.0) * weight[i]
                first = last[first] + 1
            sums[1, unit, start:end] = right[: end - start]


@compiled(f"void({_RANKED})")
def count_pairs(
    drawn: Floats, groups: Places, positive: Floats, last: Places, bounds: Places, sums: NDArray[np.float64]
) -> None:
    """Count pairs (positive image, other image) in order, ties half, and all pairs.

    Args:
        drawn: As for :func:`sum_precisions`, like the next four.
        groups: (N,).
        positive: (N,).
        last: (N,).
        bounds: (U + 1,).
        sums: Filled, (2, U, D).
    """
    above, wrong, right = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    for start in range(0, drawn.shape[1], _BLOCK):
        end = min(start + _BLOCK, drawn.shape[1])
        for unit in range(len(bounds) - 1):
            above[:], wrong[:], right[:], first = 0, 0, 0, bounds[unit]
            while first < bounds[unit + 1]:
                for counted in (0.0, 1.0, 0.0):  # half of the others of one score stand above, half below
                    for place in range(first, last[first] + 1):
                        if positive[place] == counted:
                            weight = drawn[groups[place], start:end]
                            for i in range(end - start):
                                if counted:
                                    wrong[i] += weight[i] * above[i]
                                    right[i] += weight[i]
                                else:
                                    above[i] += weight[i] / 2
                first = last[first] + 1
            for i in range(end - start):
                sums[1, unit, start + i] = right[i] * above[i]
                sums[0, unit, start + i] = right[i] * above[i] - wrong[i]
