"""Charts of intervals: every model's metrics, and their differences."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from harness.evaluation.metric_names import METRIC_NAMES
from harness.reporting.analysis import Analysis
from harness.reporting.contrasts import Contrast
from harness.reporting.numbers import below_difference, difference_text, value_with_interval
from harness.reporting.report.chart import FAINT, INK, Chart, canvas, colour, mark, name_rows, svg_of
from harness.reporting.results import Results
from harness.reporting.scores import Score
from harness.reporting.table import Table

_SHOWN = ("balanced_accuracy", "auc")


def forest_chart(analysis: Analysis, prefix: str) -> Chart:
    """Balanced accuracy and AUC of every model with their intervals."""
    results = analysis.results
    title, name = "Accuracy with 95 % intervals", f"{prefix}forest"
    description = (
        f"Balanced accuracy and AUC of {len(results.labels)} models at {', '.join(results.strata)}, with intervals. "
        + " ".join(_highest(analysis, metric) for metric in _SHOWN)
    )
    height = 1.0 + len(_SHOWN) * (0.7 + 0.24 * len(results.labels))
    with canvas(height, len(results.strata), len(_SHOWN), sharex=True, sharey=True) as (figure, panels):
        places = [(metric, stratum) for metric in _SHOWN for stratum in results.strata]
        for axes, (metric, stratum) in zip(panels, places, strict=True):
            found = [analysis.scores.get((metric, label, stratum)) for label in results.labels]
            _draw_scores(axes, found, chance_of(metric, results))
            name_rows(axes, results.labels)
            axes.set(title=stratum, xlabel=f"{METRIC_NAMES[metric].title} (%)")
        svg = svg_of(figure, name, title, description, {})
    return Chart(
        name,
        title,
        description,
        f"Lines are 95 % intervals over {results.groups}, none below five of a class; the dotted line is "
        "chance. "
        "They say what other patients would change, not what another training would.",
        svg,
        _score_table(analysis, name),
    )


def differences_chart(
    analysis: Analysis, prefix: str, against: Sequence[Contrast], name: str, other: str
) -> Chart | None:
    """Differences of models to another, with their intervals.

    Args:
        analysis: Of the run.
        prefix: Of the chart's name.
        against: The differences.
        name: Of the chart.
        other: What the models are compared with, in words.
    """
    shown = [one for one in against if one.metric in _SHOWN]
    if not shown:
        return None
    labels = list(dict.fromkeys(one.label for one in shown))
    strata = [stratum for stratum in analysis.results.strata if any(one.stratum == stratum for one in shown)]
    sure = [f"{one.label} at {one.stratum} in {METRIC_NAMES[one.metric].title}" for one in shown if one.sure]
    title, name = f"Differences to {other}", f"{prefix}{name}"
    tested = any(one.p_t is not None for one in shown)
    told = f"Told from noise by the test over folds: {', '.join(sure) or 'none'}."
    description = (
        f"Paired differences of {len(labels)} models to {other} in balanced accuracy and AUC. "
        f"{told if tested else 'With a single hold-out none can be tested over folds.'}"
    )
    with canvas(1.0 + len(_SHOWN) * (0.7 + 0.24 * len(labels)), len(strata), len(_SHOWN), sharex=True, sharey=True) as (
        figure,
        panels,
    ):
        places = [(metric, stratum) for metric in _SHOWN for stratum in strata]
        for axes, (metric, stratum) in zip(panels, places, strict=True):
            found = {one.label: one for one in shown if (one.metric, one.stratum) == (metric, stratum)}
            _draw_differences(axes, [found.get(label) for label in labels])
            name_rows(axes, labels)
            axes.set(title=stratum, xlabel=f"{METRIC_NAMES[metric].title} (points)")
        svg = svg_of(figure, name, title, description, {})
    caption = (
        "Filled: the test over folds, adjusted for the number of comparisons, tells the difference from noise; open: "
        f"it does not{'' if tested else ', or there are no folds to test over'}. Lines are 95 % intervals over "
        "patients of each difference by itself."
    )
    return Chart(name, title, description, caption, svg, _difference_table(shown, name, title))


def chance_of(metric: str, results: Results) -> float:
    """Return what knowing nothing comes to, in %: of an AUC half, of an accuracy the share of a class."""
    return 50.0 if metric == "auc" else 100 * results.chance


def _draw_scores(axes: Axes, scores: Sequence[Score | None], chance: float) -> None:
    for place, score in enumerate(scores):
        if score is None or score.value is None:
            continue
        if score.low is not None and score.high is not None:
            axes.plot([100 * score.low, 100 * score.high], [place, place], color=colour(place), lw=1.6)
        axes.plot(100 * score.value, place, mark(place), color=colour(place), ms=6)
    axes.axvline(chance, color=FAINT, lw=1, ls=":")


def _draw_differences(axes: Axes, differences: Sequence[Contrast | None]) -> None:
    for place, one in enumerate(differences):
        if one is None:
            continue
        if one.low is not None and one.high is not None:
            axes.plot([100 * one.low, 100 * one.high], [place, place], color=INK, lw=1.4)
        axes.plot(100 * one.value, place, "o", color=INK, ms=6, mfc=INK if one.sure else "none")
    axes.axvline(0, color=FAINT, lw=1, ls=":")


def _highest(analysis: Analysis, metric: str) -> str:
    """Name the highest model at each stratum."""
    found = []
    for stratum in analysis.results.strata:
        own = [score for (of, _, at), score in analysis.scores.items() if (of, at) == (metric, stratum)]
        known = [score for score in own if score.value is not None]
        if known:
            best = max(known, key=lambda score: score.value or 0.0)
            found.append(f"{best.label} {value_with_interval(best)} at {stratum}")
    return f"Highest {METRIC_NAMES[metric].title}: {', '.join(found)}." if found else ""


def _score_table(analysis: Analysis, name: str) -> Table:
    results = analysis.results
    lines = [(metric, label, analysis.line(metric, label)) for metric in _SHOWN for label in results.labels]
    return Table(
        name=name,
        title="Accuracy with 95 % intervals",
        columns=["metric", "model", *results.strata],
        rows=[[METRIC_NAMES[metric].title, label, *map(value_with_interval, line)] for metric, label, line in lines],
        notes=[],
        records=[score.record() for _, _, line in lines for score in line if score is not None],
        grouped=True,
    )


def _difference_table(shown: Sequence[Contrast], name: str, title: str) -> Table:
    rows = [
        [METRIC_NAMES[one.metric].title, one.label, one.stratum, difference_text(one), below_difference(one)]
        for one in shown
    ]
    return Table(
        name=name,
        title=title,
        columns=["metric", "model", "at", "difference", "interval"],
        rows=rows,
        notes=[],
        records=[
            {
                "metric": one.metric,
                "model": one.label,
                "stratum": one.stratum,
                "difference": one.value,
                "low": one.low,
                "high": one.high,
                "p": one.p_t,
            }
            for one in shown
        ],
        grouped=True,
    )
