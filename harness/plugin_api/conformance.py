"""What the harness relies on in a fitted model, and how it says that something else came."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLOSE = 1e-5


class CheckError(AssertionError):
    """A check that failed.

    Args:
        expected: What the harness relies on.
        came: What came instead.
        cause: The likeliest reason, and what to do.
    """

    def __init__(self, expected: str, came: str, cause: str) -> None:
        super().__init__(f"expected: {expected}\n  came: {came}\n  likely: {cause}")
        self.line = f"expected: {expected}; came: {came}; likely: {cause}"


def as_numbers(probabilities: Any) -> NDArray[np.float64]:
    """Return probabilities as float64."""
    return np.asarray(probabilities, dtype=np.float64)


def refuse_difference(wanted: NDArray[np.float64], found: NDArray[np.float64], expected: str, cause: str) -> None:
    """Refuse probabilities that are not those that were wanted.

    Raises:
        CheckError: They differ by more than rounding.
    """
    if not are_close(wanted, found):
        gap = (
            f"differences of up to {abs(wanted - found).max():.2g}" if wanted.shape == found.shape else str(found.shape)
        )
        raise CheckError(expected, gap, cause)


def are_close(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Return whether probabilities differ by rounding at most."""
    return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=_CLOSE)


def refuse_other_predictions(fitted: NDArray[np.float64], loaded: NDArray[np.float64]) -> None:
    """Refuse a saved model that predicts otherwise than the one that saved it.

    Raises:
        CheckError: It does.
    """
    cause = "save() leaves something out, or load() does not restore it"
    refuse_difference(fitted, loaded, "the predictions of before", cause)


def load_failure(came: str) -> CheckError:
    """Say that what was saved could not be loaded."""
    return CheckError("load() to restore the model", came, "it needs what only fit() has made")
