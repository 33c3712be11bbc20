"""Figures 7 and 8 of the paper, from a run's histories."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
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
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def figure_7(results: Results) -> Figure | None:
    """Accuracy on training and validation over epochs, a colour a model, averaged over its cells."""
    history = _final(results)
    if history.empty:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = _axes("Accuracy on training and validation images", results)
        for colour, label in enumerate(_trained(results, history)):
            means = (
                history[history["model"] == label].groupby("epoch")[["train_accuracy", "validation_accuracy"]].mean()
            )
            axes.plot(
                means.index, 100 * means["train_accuracy"], f"C{colour}--", lw=1, label=f"{plain(label)}, training"
            )
            axes.plot(
                means.index, 100 * means["validation_accuracy"], f"C{colour}-", label=f"{plain(label)}, validation"
            )
        axes.legend(fontsize=8)
    return figure


def figure_8(results: Results) -> Figure | None:
    """Validation accuracy of the networks over epochs at the largest magnification of the run."""
    history = _final(results)
    if history.empty:
        return None
    stratum = natural_order(history["stratum"].unique())[-1]
    history = history[history["stratum"] == stratum]
    with mpl.rc_context(STYLE):
        figure, axes = _axes(f"Accuracy on validation images at {stratum}", results)
        for colour, label in enumerate(_trained(results, history)):
            means = history[history["model"] == label].groupby("epoch")["validation_accuracy"].mean()
            axes.plot(means.index, 100 * means, f"C{colour}-", label=plain(label))
        axes.legend(fontsize=8)
    return figure


FIGURES = {7: figure_7, 8: figure_8}


def image_bytes(figure: Figure, ending: str) -> bytes:
    """Return a figure as ``png`` or ``svg``; the same figure gives the same bytes."""
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


def _axes(title: str, results: Results) -> tuple[Figure, Axes]:
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 101))
    axes.set_title(f"LEAKY - {title}" if results.run.leaky else title, fontsize=11)
    return figure, axes
