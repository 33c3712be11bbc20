"""Charts of curves: learning, ROC, calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harness.evaluation.metrics import ECE_BINS
from harness.evaluation.roc import GRID, roc_curve
from harness.reporting.analysis import Analysis
from harness.reporting.report.chart import (
    FAINT,
    Chart,
    Entry,
    canvas,
    colour,
    legend_below,
    line,
    mark,
    models_legend,
    svg_of,
)
from harness.reporting.results import Results
from harness.reporting.scores import Tested
from harness.reporting.table import DASH, Table
from harness.store.schema import DoneRecord

_HEIGHT = 3.1
_ROC_SHOWN = (5, 10, 20, 50)
"""Shares of false alarms in %, for the table."""


def learning_chart(analysis: Analysis, prefix: str) -> Chart | None:
    """Validation balanced accuracy over epochs, and where each model has converged."""
    results = analysis.results
    labels = [label for label in results.labels if any(cell.epochs for cell in results.cells_of(label))]
    if not labels:
        return None
    points = [point for label in labels for point in _points(results, label)]
    title, name = "Learning curves and convergence", f"{prefix}learning"
    description = f"Validation balanced accuracy over epochs of {len(labels)} models, mean over cells. " + " ".join(
        _convergence_words(results, label) for label in labels
    )
    with canvas(_HEIGHT, len(results.strata), sharex=True, sharey=True) as (figure, panels):
        for axes, stratum in zip(panels, results.strata, strict=True):
            for label in labels:
                _draw_learning(axes, results, label, stratum)
            axes.set(title=stratum, xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[0].set_ylabel("balanced accuracy (%)")
        legend_below(figure, models_legend(results.labels, labels, marks=True, lines=True))
        svg = svg_of(figure, name, title, description, {})
    caption = (
        "The last stage. Means over a model's cells, bands one standard deviation. The mark: where the fitted curve "
        "has made 90 % of its rise, mean of the cells that have converged."
    )
    return Chart(name, title, description, caption, svg, _points_table(name, title, points))


def roc_chart(analysis: Analysis, prefix: str) -> Chart | None:
    """ROC of every model, with a band over patients."""
    curves = [
        (place, model, curve)
        for stratum in analysis.results.strata
        for place, model in _in_order(analysis, stratum)
        if (curve := roc_curve(model.at_half, model.patients)) is not None
    ]
    if not curves:
        return None

    def draw(axes: Axes, stratum: str) -> None:
        for place, model, curve in curves:
            if model.stratum == stratum:
                axes.plot(100 * GRID, 100 * curve.sensitivity, line(place), color=colour(place), lw=1.4)
                axes.fill_between(100 * GRID, 100 * curve.low, 100 * curve.high, color=colour(place), alpha=0.08, lw=0)
        axes.plot([0, 100], [0, 100], color=FAINT, lw=1, ls=":")
        axes.set(title=stratum, xlabel="false alarms (%)")

    at = np.array(_ROC_SHOWN)
    records = [
        {"model": model.label, "stratum": model.stratum, **_sensitivities(curve.sensitivity[at])}
        for _, model, curve in curves
    ]
    title, name = "ROC", f"{prefix}roc"
    table = _records_table(name, title, records, [f"sensitivity at {share} % false alarms" for share in at])
    caption = (
        f"Positive is {analysis.results.data_set.positive}. Curves of folds are averaged at equal shares of "
        "false alarms, so their area "
        "is the AUC of the tables; bands: 95 %, over patients, point by point."
    )
    words = f"Sensitivity over false alarms of {len(analysis.results.labels)} models; the areas stand in the tables."
    entries = models_legend(analysis.results.labels, {model.label for _, model, _ in curves}, marks=False, lines=True)
    return _panels(analysis, Chart(name, title, words, caption, "", table), "sensitivity (%)", draw, entries)


def calibration_chart(analysis: Analysis, prefix: str) -> Chart | None:
    """Share of positive images over predicted probability; None for more than two classes."""
    if not analysis.results.data_set.is_binary:
        return None
    positive = analysis.results.data_set.positive
    bins = [
        record
        for stratum in analysis.results.strata
        for place, model in _in_order(analysis, stratum)
        for record in _bins(place, model)
    ]

    def draw(axes: Axes, stratum: str) -> None:
        own = [record for record in bins if record["stratum"] == stratum]
        for label in dict.fromkeys(record["model"] for record in own):
            of = [record for record in own if record["model"] == label]
            place, xs, ys = of[0]["place"], [100 * r["probability"] for r in of], [100 * r["positive"] for r in of]
            axes.plot(xs, ys, line(place), color=colour(place), lw=1)
            sizes = [4 + 60 * r["images"] / max(r["of"], 1) for r in of]
            axes.scatter(xs, ys, s=sizes, color=colour(place), marker=mark(place), alpha=0.8, lw=0)
        axes.plot([0, 100], [0, 100], color=FAINT, lw=1, ls=":")
        axes.set(title=stratum, xlabel="predicted (%)")

    title, name = "Calibration", f"{prefix}calibration"
    records = [
        {key: record[key] for key in ("model", "stratum", "probability", "positive", "images")} for record in bins
    ]
    caption = (
        f"Images in ten bins of equal width by their predicted probability of {positive}; a mark is as large as its "
        "share of the images. On the dotted line probabilities are frequencies. The error in one number is in the "
        "tables."
    )
    words = f"Share of {positive} images over predicted probability of {len(analysis.results.labels)} models."
    table = _records_table(name, title, records, ["mean probability", positive, "images"])
    entries = models_legend(analysis.results.labels, {record["model"] for record in bins}, marks=True, lines=True)
    return _panels(analysis, Chart(name, title, words, caption, "", table), f"{positive} (%)", draw, entries)


def _panels(
    analysis: Analysis, chart: Chart, ylabel: str, draw: Callable[[Axes, str], None], entries: list[Entry]
) -> Chart:
    """Complete a chart with its picture: a panel a stratum, in %."""
    strata = analysis.results.strata
    with canvas(_HEIGHT, len(strata), sharex=True, sharey=True) as (figure, panels):
        for axes, stratum in zip(panels, strata, strict=True):
            draw(axes, stratum)
            axes.set(xlim=(-2, 102), ylim=(-2, 102))
        panels[0].set_ylabel(ylabel)
        legend_below(figure, entries)
        svg = svg_of(figure, chart.name, chart.title, chart.description, {})
    return Chart(chart.name, chart.title, chart.description, chart.caption, svg, chart.data)


def _in_order(analysis: Analysis, stratum: str) -> Iterator[tuple[int, Tested]]:
    """Yield the models of a stratum with their places."""
    models = analysis.tested[stratum]
    return ((place, models[label]) for place, label in enumerate(analysis.results.labels) if label in models)


def _bins(place: int, model: Tested) -> Iterator[dict[str, Any]]:
    table = model.at_half
    number = np.minimum((table["p_1"] * ECE_BINS).astype(int), ECE_BINS - 1)
    for _, own in table.groupby(number):
        yield {
            "place": place,
            "model": model.label,
            "stratum": model.stratum,
            "probability": float(own["p_1"].mean()),
            "positive": float(own["label"].mean()),
            "images": own["image"].nunique(),
            "of": table["image"].nunique(),
        }


def _sensitivities(values: NDArray[np.float64]) -> dict[str, float]:
    return {f"at_{share}": float(value) for share, value in zip(_ROC_SHOWN, values, strict=True)}


def _draw_learning(axes: Axes, results: Results, label: str, stratum: str) -> None:
    place = results.labels.index(label)
    history = _histories(results, label, stratum)
    if history.empty:
        return
    found = 100 * history.groupby("epoch")["validation_balanced_accuracy"].agg(["mean", "std"]).fillna(0)
    axes.plot(found.index, found["mean"], line(place), color=colour(place), lw=1.4)
    low, high = found["mean"] - found["std"], (found["mean"] + found["std"]).clip(upper=100)
    axes.fill_between(found.index, low, high, color=colour(place), alpha=0.1, lw=0)
    points = [cell.convergence.epochs for cell in _cells(results, label, stratum) if cell.convergence]
    if points:
        at = fmean(points)
        axes.plot(at, np.interp(at, found.index, found["mean"]), mark(place), color=colour(place), ms=7)


def _histories(results: Results, label: str, stratum: str) -> pd.DataFrame:
    cells = [cell.cell.name for cell in _cells(results, label, stratum)]
    return pd.concat([results.final_history(cell) for cell in cells]) if cells else results.history.iloc[:0]


def _cells(results: Results, label: str, stratum: str) -> list[DoneRecord]:
    return [cell for cell in results.cells_of(label) if cell.stratum == stratum]


def _points(results: Results, label: str) -> Iterator[dict[str, Any]]:
    for stratum in results.strata:
        cells = _cells(results, label, stratum)
        reached = [cell.convergence for cell in cells if cell.convergence]
        plateaus = [point.plateau for point in reached if point.plateau is not None]
        if cells:
            yield {
                "model": label,
                "stratum": stratum,
                "cells": len(cells),
                "converged": len(reached),
                "epochs": fmean(point.epochs for point in reached) if reached else None,
                "plateau": fmean(plateaus) if plateaus else None,
            }


def _convergence_words(results: Results, label: str) -> str:
    points = list(_points(results, label))
    converged, cells = sum(point["converged"] for point in points), sum(point["cells"] for point in points)
    return f"{label}: {converged} of {cells} cells have converged."


def _points_table(name: str, title: str, points: list[dict[str, Any]]) -> Table:
    return _records_table(name, title, points, ["cells", "converged", "epochs", "plateau"])


def _records_table(name: str, title: str, records: list[dict[str, Any]], heads: list[str]) -> Table:
    """Make a table of records of a model and a stratum."""
    rows = [
        [str(record["model"]), str(record["stratum"]), *(_text(*item) for item in list(record.items())[2:])]
        for record in records
    ]
    return Table(
        name=name, title=title, columns=["model", "at", *heads], rows=rows, notes=[], records=records, grouped=True
    )


def _text(quantity: str, value: float | None) -> str:
    """Write a count as it is, epochs with their tenths, and fractions in %."""
    if value is None:
        return DASH
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.1f}" if quantity == "epochs" else f"{100 * value:.1f}"
