"""The leak as a picture: one metric of every model under each protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from harness.evaluation.metric_names import METRIC_NAMES
from harness.reporting.figures import STYLE, plain
from harness.reporting.table import Table

_METRIC = "balanced_accuracy"
_MARKS = ("o", "s", "D", "^", "v")
_APART = 0.22  # between the protocols of a model, in rows


def leak_figure(table: Table) -> Figure:
    """Draw balanced accuracy with its interval, a row a model and a mark a protocol.

    Args:
        table: From :func:`~harness.reporting.leak.leak_table`.
    """
    found = [
        record
        for record in table.records
        if (record["metric"], record["quantity"]) == (_METRIC, "value") and record["value"] is not None
    ]
    rows, protocols = (list(dict.fromkeys(key(record) for record in found)) for key in (_row, _protocol))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 1.4 + 0.5 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for number, protocol in enumerate(protocols):
            own = [record for record in found if record["protocol"] == protocol]
            heights = [rows.index(_row(record)) + (number - (len(protocols) - 1) / 2) * _APART for record in own]
            values, mark = [100 * record["value"] for record in own], _MARKS[number % len(_MARKS)]
            axes.errorbar(values, heights, xerr=_reaches(own), fmt=mark, ms=6, lw=1.2, label=plain(protocol))
        axes.axvline(50, color="0.6", lw=1, ls=":")
        axes.set(yticks=range(len(rows)), yticklabels=map(plain, rows), xlabel=f"{METRIC_NAMES[_METRIC].title} (%)")
        axes.set_xlim(right=101)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        figure.suptitle(plain(table.title), fontsize=11)
        figure.legend(loc="outside lower center", ncols=len(protocols), fontsize=9)
    return figure


def _row(record: dict[str, Any]) -> str:
    return f"{record['model']}, {record['stratum']}"


def _protocol(record: dict[str, Any]) -> str:
    return str(record["protocol"])


def _reaches(records: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Return how far each interval reaches below and above its value, in %; nothing where there is none."""
    below = [100 * (record["value"] - record["low"]) if record["low"] is not None else 0.0 for record in records]
    above = [100 * (record["high"] - record["value"]) if record["high"] is not None else 0.0 for record in records]
    return below, above
