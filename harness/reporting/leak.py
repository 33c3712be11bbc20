"""What a split is worth: the same models under several protocols, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from harness.evaluation.estimators import Estimator, difference, estimators
from harness.evaluation.resampling import Interval, Patients, draw_patients, resampled_interval
from harness.reporting.results import Results
from harness.reporting.table import DASH, Table

_METRICS = {"p_img": "P_img", "p_arp_slide": "P_arp by slide", "balanced_accuracy": "balanced accuracy", "auc": "AUC"}


def leak_table(runs: dict[str, Results]) -> Table:
    """Compare protocols: every figure, and how much higher it is than under the last, strictest protocol.

    Accessions are resampled within their class, the same draws for all protocols and models.

    Args:
        runs: By protocol, the strictest last; all of the same models and images.
    """
    *loose, strict = runs
    found = [
        (metric, label, magnification, *_figures(metric, made, patients, strict))
        for magnification in runs[strict].magnifications
        for label, made, patients in _made(runs, strict, magnification)
        for metric in _METRICS
    ]
    rows = [
        [
            _METRICS[metric],
            label,
            f"{magnification}x",
            *(_shown(values.get(name), "") for name in runs),
            *(_shown(gaps.get(name), "+") for name in loose),
        ]
        for metric, label, magnification, values, gaps in found
    ]
    records = [
        _record({"metric": metric, "model": label, "magnification": magnification}, quantity, name, interval)
        for metric, label, magnification, values, gaps in found
        for quantity, intervals in (("value", values), (f"minus {strict}", gaps))
        for name, interval in intervals.items()
    ]
    columns = ["metric", "model", "at", *runs, *(f"{name} minus {strict}" for name in loose)]
    title = "Accuracy by protocol"
    title = f"LEAKY - {title}" if any(run.run["leaky"] for run in runs.values()) else title
    return Table(None, title, columns, rows, _notes(runs), records)


def _made(
    runs: dict[str, Results], strict: str, magnification: int
) -> Iterator[tuple[str, dict[str, dict[str, Estimator]], Patients]]:
    """Yield every model with its estimators by protocol and metric, and the draws that all share."""
    tested = {name: run.test[run.test["magnification"] == magnification] for name, run in runs.items()}
    patients = draw_patients(pd.concat(tested.values()))
    for label in runs[strict].labels:
        own = {name: table[table["model"] == label] for name, table in tested.items()}
        made = {
            name: estimators(table, patients.accessions, cross_validated=runs[name].cross_validated)
            for name, table in own.items()
            if len(table)
        }
        yield label, made, patients


def _figures(
    metric: str, made: dict[str, dict[str, Estimator]], patients: Patients, strict: str
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Return a metric by protocol, and its distance to the strictest protocol."""
    values = {name: resampled_interval(of[metric], patients) for name, of in made.items()}
    gaps = {
        name: resampled_interval(difference(of[metric], made[strict][metric]), patients)
        for name, of in made.items()
        if name != strict and strict in made
    }
    return values, gaps


def _notes(runs: dict[str, Results]) -> list[str]:
    counted = [f"{name} tests {run.test['image'].nunique()} images" for name, run in runs.items()]
    shared = [
        f"{run.run['protocol']['shared_accessions']} accessions on two sides under {name}" for name, run in runs.items()
    ]
    notes = [
        "In %; in brackets the 95 % interval: accessions resampled within their class, the same draws for all columns.",
        f"{'; '.join(counted)}; {'; '.join(shared)}.",
    ]
    told = ("LEAK", *(f"{run.run['protocol']['shared_accessions']} accessions" for run in runs.values()))
    others = dict.fromkeys(note for run in runs.values() for note in run.notes() if not note.startswith(told))
    missing = [f"{name}: {note}" for name, run in runs.items() for note in run.missing_notes()]
    return [*notes, *others, *missing]


def _shown(interval: Interval | None, sign: str) -> str:
    if interval is None or math.isnan(interval.value):
        return DASH
    value, low, high = (f"{100 * bound:{sign}.1f}" for bound in (interval.value, interval.low, interval.high))
    return value if math.isnan(interval.low) else f"{value} ({low} to {high})"


def _record(where: dict[str, Any], quantity: str, protocol: str, interval: Interval) -> dict[str, Any]:
    bounds = {"value": interval.value, "low": interval.low, "high": interval.high}
    figures = {name: None if math.isnan(bound) else bound for name, bound in bounds.items()}
    return {"quantity": quantity, **where, "protocol": protocol, **figures}
