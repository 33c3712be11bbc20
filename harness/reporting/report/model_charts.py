"""Charts of models: accuracy against cost and size, and which of two is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from harness.evaluation.metric_names import METRIC_NAMES
from harness.reporting.analysis import Analysis
from harness.reporting.contrasts import paired
from harness.reporting.paper_tables import table_4, table_5
from harness.reporting.report.chart import (
    Chart,
    canvas,
    colour,
    draw_share,
    legend_below,
    mark,
    models_legend,
    name_rows,
    svg_of,
)
from harness.reporting.results import resampled_within
from harness.reporting.scores import Score
from harness.reporting.table import DASH, Table

_METRIC = "balanced_accuracy"
_COSTS = {"minutes": "minutes to convergence", "parameters_millions": "parameters (M)"}


def trade_off_chart(analysis: Analysis, prefix: str) -> Chart | None:
    """Balanced accuracy against the minutes to convergence and against parameters."""
    results, costs = analysis.results, _costs(analysis)
    shown = {key: values for key, values in costs.items() if values}
    if not shown:
        return None
    title, name = "Accuracy against cost and size", f"{prefix}trade-off"
    absent = [label for label in results.labels if not all(label in values for values in shown.values())]
    without = f" Without one of them: {', '.join(absent)}." if absent else ""
    axes_named = " and against ".join(_COSTS[key] for key in shown)
    description = f"Balanced accuracy against {axes_named}, a mark a model.{without}"
    with canvas(0.9 + 2.1 * len(shown), len(results.strata), len(shown), sharey=True) as (figure, panels):
        places = [(key, stratum) for key in shown for stratum in results.strata]
        for axes, (key, stratum) in zip(panels, places, strict=True):
            for label, cost in shown[key].items():
                score = analysis.scores.get((_METRIC, label, stratum))
                _draw_trade_off(axes, results.labels.index(label), cost, score)
            axes.set(title=stratum, xlabel=_COSTS[key], xscale="log")
        for row in range(len(shown)):
            panels[row * len(results.strata)].set_ylabel("balanced accuracy (%)")
        drawn = {label for values in shown.values() for label in values}
        legend_below(figure, models_legend(results.labels, drawn, marks=True, lines=False))
        svg = svg_of(figure, name, title, description, {})
    caption = (
        "Lines are 95 % intervals over patients. Minutes: to convergence at the speed measured alone on the device, "
        "means over converged cells of all strata (table 5); a fit time for a model without epochs. Left and "
        f"high is good.{without}"
    )
    return Chart(name, title, description, caption, svg, _trade_off_table(analysis, name, title, costs))


def pairwise_chart(analysis: Analysis, prefix: str) -> Chart | None:
    """In which share of resampled patients one model is better than another."""
    results = analysis.results
    if len(results.labels) < 2:
        return None
    shares = {
        (one, other, stratum): share
        for stratum, models in analysis.tested.items()
        for one in models
        for other in models
        if one != other and (share := _share(analysis, stratum, one, other)) is not None
    }
    title, name = f"Which of two has the higher {METRIC_NAMES[_METRIC].title}", f"{prefix}pairwise"
    sure = sum(share > 0.975 for share in shares.values())
    description = (
        f"The share of resampled patients on which the model of a row is better than that of a column in "
        f"{METRIC_NAMES[_METRIC].title}. Above 97.5 %: {sure} of {len(shares) // 2} pairs."
    )
    with canvas(0.9 + 0.34 * len(results.labels), len(results.strata), sharey=True) as (figure, panels):
        for axes, stratum in zip(panels, results.strata, strict=True):
            for (one, other, at), share in shares.items():
                if at == stratum:
                    draw_share(axes, results.labels.index(one), results.labels.index(other), share)
            name_rows(axes, [f"{place} {label}" for place, label in enumerate(results.labels, 1)])
            axes.set_xticks(range(len(results.labels)), [str(place + 1) for place in range(len(results.labels))])
            axes.set(title=stratum, xlim=(-0.5, len(results.labels) - 0.5))
            axes.grid(visible=False)
        svg = svg_of(figure, name, title, description, {})
    caption = (
        f"The row's model above the column's, in %, of 2,000 draws of {results.groups} {resampled_within(results)}; "
        "a tie counts half. It speaks of other patients, not of another training, and is not adjusted for the number "
        "of pairs: the tests over folds are in the differences."
    )
    rows = [[one, other, at, f"{100 * share:.1f}"] for (one, other, at), share in shares.items()]
    records = [
        {"model": one, "other": other, "stratum": at, "share": share} for (one, other, at), share in shares.items()
    ]
    columns = ["model", "better than", "at", "in % of draws"]
    data = Table(name=name, title=title, columns=columns, rows=rows, notes=[], records=records, grouped=True)
    return Chart(name, title, description, caption, svg, data)


def _costs(analysis: Analysis) -> dict[str, dict[str, float]]:
    """Return minutes and parameters by model, where there are any, over all machines."""
    found = [*table_5(analysis.results).records, *table_4(analysis.results).records]
    records = [record for record in found if "machine" not in record]
    return {key: {str(record["model"]): value for record in records if (value := record.get(key))} for key in _COSTS}


def _draw_trade_off(axes: Axes, place: int, cost: float, score: Score | None) -> None:
    if score is None or score.value is None:
        return
    if score.low is not None and score.high is not None:
        axes.plot([cost, cost], [100 * score.low, 100 * score.high], color=colour(place), lw=1.2)
    axes.plot(cost, 100 * score.value, mark(place), color=colour(place), ms=7)


def _trade_off_table(analysis: Analysis, name: str, title: str, costs: Mapping[str, Mapping[str, float]]) -> Table:
    rows, records = [], []
    for label in analysis.results.labels:
        found = {key: costs[key].get(label) for key in _COSTS}
        line = analysis.line(_METRIC, label)
        values: list[Any] = [score.value if score else None for score in line]
        shown = [DASH if value is None else f"{100 * value:.1f}" for value in values]
        rows.append([label, *(_cost_text(cost) for cost in found.values()), *shown])
        records.append({"model": label, **found, **dict(zip(analysis.results.strata, values, strict=True))})
    columns = ["model", *_COSTS.values(), *(f"balanced accuracy, {stratum}" for stratum in analysis.results.strata)]
    return Table(name=name, title=title, columns=columns, rows=rows, notes=[], records=records)


def _cost_text(cost: float | None) -> str:
    if cost is None:
        return DASH
    return f"{cost:.3g}" if cost >= 0.001 else "< 0.001"


def _share(analysis: Analysis, stratum: str, one: str, other: str) -> float | None:
    pair = paired(analysis.tested[stratum][one], analysis.tested[stratum][other])
    return None if pair is None else pair[0].share_above(pair[1], _METRIC)
