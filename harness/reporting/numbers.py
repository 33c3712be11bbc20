"""Numbers as text in tables: values in %, intervals, differences."""

from __future__ import annotations

from harness.reporting.contrasts import Contrast
from harness.reporting.scores import Score
from harness.reporting.table import DASH, p_text


def bounds_text(low: float | None, high: float | None, sign: str = "") -> str:
    """Return an interval in brackets, in %; nothing where there is none. ``sign`` is ``+`` for differences."""
    return "" if low is None or high is None else f"({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"


def value_text(score: Score | None) -> str:
    """Return a value in %."""
    return DASH if score is None or score.value is None else f"{100 * score.value:.1f}"


def below_value(score: Score | None) -> str:
    """Return a value's interval, for a row of its own."""
    return "" if score is None else bounds_text(score.low, score.high)


def value_with_interval(score: Score | None) -> str:
    """Return a value and its interval in one line."""
    return f"{value_text(score)} {below_value(score)}".strip()


def difference_text(contrast: Contrast | None) -> str:
    """Return a difference in points, and p of the test over folds."""
    if contrast is None:
        return DASH
    tested = "" if contrast.p_t is None else f", p {p_text(contrast.p_t)}"
    return f"{100 * contrast.value:+.1f}{tested}"


def below_difference(contrast: Contrast | None) -> str:
    """Return a difference's interval, for a row of its own."""
    return "" if contrast is None else bounds_text(contrast.low, contrast.high, "+")
