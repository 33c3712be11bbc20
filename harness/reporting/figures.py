"""Figures 7 and 8 of the paper, from a run's histories."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.plugin_api.schedule import FINAL_STAGE
from harness.reporting.results import Results
from harness.text import natural_order, printable

STYLE: dict[Any, Any] = {
    "figure.figsize": (7.0, 4.2),
    "figure.dpi": 120,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "harness",
}
# Dates and program versions would make equal figures differ
_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
ENDINGS = tuple(_METADATA)
"""The formats in which figures are kept."""
_DISTINCT_COLOURS = 10  # of matplotlib's cycle
_LINES_INSIDE = 12
_LINES_A_COLUMN = 25


def figure_7(results: Results) -> Figure | None:
    """Accuracy on training and validation over epochs, a colour a model, averaged over its cells."""
    history = _final(results)
    if history.empty:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = _axes("Accuracy on training and validation images", results, history)
        for label, colour in _colours(_trained(results, history)).items():
            own = history[history["model"] == label]
            _draw_curve(axes, own, "train_accuracy", colour, "--", f"{plain(label)}, training")
            _draw_curve(axes, own, "validation_accuracy", colour, "-", f"{plain(label)}, validation")
            _draw_band(axes, own, "validation_accuracy", colour)
        _draw_legend(figure, axes)
    return figure


def figure_8(results: Results) -> Figure | None:
    """Validation accuracy of the networks over epochs at the last stratum of the run."""
    history = _final(results)
    if history.empty:
        return None
    stratum = natural_order(history["stratum"].unique())[-1]
    history = history[history["stratum"] == stratum]
    with mpl.rc_context(STYLE):
        figure, axes = _axes(f"Accuracy on validation images at {stratum}", results, history)
        for label, colour in _colours(_trained(results, history)).items():
            own = history[history["model"] == label]
            _draw_curve(axes, own, "validation_accuracy", colour, "-", plain(label))
            _draw_band(axes, own, "validation_accuracy", colour)
        _draw_legend(figure, axes)
    return figure


FIGURES = {7: figure_7, 8: figure_8}


def image_bytes(figure: Figure, ending: str) -> bytes:
    """Return a figure as ``png``, ``svg`` or ``pdf``; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=ending, metadata=_METADATA[ending])
    return buffer.getvalue()


def _final(results: Results) -> pd.DataFrame:
    return results.history[results.history["stage"] == FINAL_STAGE]


def _trained(results: Results, history: pd.DataFrame) -> list[str]:
    trained = set(history["model"])
    return [label for label in results.labels if label in trained]


def plain(label: str) -> str:
    """Keep a label from being read as a formula, which may be none that can be drawn."""
    return printable(label).replace("$", r"\$")


def _colours(labels: list[str]) -> dict[str, str]:
    if len(labels) <= _DISTINCT_COLOURS:
        return {label: f"C{place}" for place, label in enumerate(labels)}
    shades = mpl.colormaps["turbo"](np.linspace(0, 1, len(labels)))
    return {label: mpl.colors.to_hex(shade) for label, shade in zip(labels, shades, strict=True)}


def _draw_legend(figure: Figure, axes: Axes) -> None:
    """Name the lines within the axes, or beside them, where they would cover the curves."""
    lines = len(axes.get_lines())
    if lines <= _LINES_INSIDE:
        axes.legend(fontsize=8)
        return
    legend = figure.legend(loc="outside right upper", fontsize=6, ncols=-(-lines // _LINES_A_COLUMN))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + legend.get_window_extent().width / figure.dpi, height)


def _draw_curve(axes: Axes, history: pd.DataFrame, column: str, colour: str, line: str, label: str) -> None:
    """Draw the mean over cells by epoch, in %."""
    mean = 100 * history.groupby("epoch")[column].mean()
    axes.plot(mean.index, mean, line, color=colour, lw=1.3, label=label)


def _draw_band(axes: Axes, history: pd.DataFrame, column: str, colour: str) -> None:
    """Draw one standard deviation over cells on either side of their mean, in %."""
    found = 100 * history.groupby("epoch")[column].agg(["mean", "std"]).fillna(0)
    low, high = found["mean"] - found["std"], (found["mean"] + found["std"]).clip(upper=100)
    axes.fill_between(found.index, low, high, color=colour, alpha=0.12, lw=0)


def _axes(title: str, results: Results, history: pd.DataFrame) -> tuple[Figure, Axes]:
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel="epoch", ylabel="accuracy (%)")
    axes.set_title(f"LEAKY - {title}" if results.run.leaky else title, fontsize=11)
    cells = history["cell"].nunique()
    averaged = f"Means over the cells of a model ({cells} in all); bands on validation: one standard deviation of them."
    figure.supxlabel(averaged, fontsize=7, color="0.4")
    return figure, axes
