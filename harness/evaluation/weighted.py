"""Numbers as functions of patient weights, which say how often each group counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Estimator = Callable[[Array], Array]
"""From weights (D, A) to the number under each row (D,); NaN where a row leaves nothing to compute it from."""


def mean_of_units(parts: Array, wholes: Array) -> Array:
    """Divide (K, D, U) by (K, D, U), average over K, and then over the units that have something to divide by."""
    there = (wholes > 0).all(0)
    ratios = np.divide(parts, wholes, out=np.zeros_like(parts), where=there).mean(0)
    units = there.sum(1)
    mean: Array = np.divide(ratios.sum(1), units, out=np.full(len(units), np.nan), where=units > 0)
    return mean
