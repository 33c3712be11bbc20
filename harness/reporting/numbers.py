"""Numbers as text in tables: values in %, intervals, differences."""

from __future__ import annotations

from harness.reporting.contrasts import Contrast
from harness.reporting.scores import Score
from harness.reporting.table import DASH, p_text


def value_text(score: Score | None) -> str:
    """Return a value in %."""
    return DASH if score is None or score.value is None else f"{100 * score.value:.1f}"


def interval_text(score: Score | None) -> str:
    """Return an interval in %; nothing where there is none."""
    if score is None or score.low is None or score.high is None:
        return ""
    return f"({100 * score.low:.1f} to {100 * score.high:.1f})"


def value_with_interval(score: Score | None) -> str:
    """Return a value and its interval in one line."""
    return f"{value_text(score)} {interval_text(score)}".strip()


def difference_text(contrast: Contrast | None) -> str:
    """Return a difference in points, and p of the test over folds."""
    if contrast is None:
        return DASH
    tested = "" if contrast.p_t is None else f", p {p_text(contrast.p_t)}"
    return f"{100 * contrast.value:+.1f}{tested}"


def difference_interval_text(contrast: Contrast | None) -> str:
    """Return the interval of a difference; nothing where there is none."""
    if contrast is None or contrast.low is None or contrast.high is None:
        return ""
    return f"({100 * contrast.low:+.1f} to {100 * contrast.high:+.1f})"
