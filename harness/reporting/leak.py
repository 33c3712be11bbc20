"""What a split is worth: the same models under several protocols, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
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
        _figure(metric, model, strict)
        for magnification in runs[strict].magnifications
        for model in _models(runs, strict, magnification)
        for metric in _METRICS
    ]
    rows = [
        [
            _METRICS[figure.metric],
            figure.label,
            f"{figure.magnification}x",
            *(_shown(figure.levels.get(name), "") for name in runs),
            *(_shown(figure.gaps.get(name), "+") for name in loose),
        ]
        for figure in found
    ]
    records = [
        _record(figure, quantity, name, interval)
        for figure in found
        for quantity, intervals in (("value", figure.levels), (f"minus {strict}", figure.gaps))
        for name, interval in intervals.items()
    ]
    columns = ["metric", "model", "at", *runs, *(f"{name} minus {strict}" for name in loose)]
    title = "Accuracy by protocol"
    title = f"LEAKY - {title}" if any(run.run["leaky"] for run in runs.values()) else title
    return Table(None, title, columns, rows, _notes(runs), records)


@dataclass(frozen=True)
class _Model:
    """A model at one magnification under every protocol: its estimators, and how many patients they rest on."""

    label: str
    magnification: int
    patients: Patients
    made: dict[str, dict[str, Estimator]]
    smallest: dict[str, int]


@dataclass(frozen=True)
class _Figure:
    """A metric of a model by protocol, and its distance to the strictest protocol."""

    metric: str
    label: str
    magnification: int
    levels: dict[str, Interval]
    gaps: dict[str, Interval]


def _models(runs: dict[str, Results], strict: str, magnification: int) -> Iterator[_Model]:
    """Yield every model with what all protocols say of it; the draws are shared by all."""
    tested = {name: run.test[run.test["magnification"] == magnification] for name, run in runs.items()}
    patients = draw_patients(pd.concat(tested.values()))
    for label in runs[strict].labels:
        own = {name: table[table["model"] == label] for name, table in tested.items()}
        own = {name: table for name, table in own.items() if len(table)}
        made = {
            name: estimators(table, patients.accessions, cross_validated=runs[name].cross_validated)
            for name, table in own.items()
        }
        smallest = {name: patients.only(table["accession"].unique()).smallest_class for name, table in own.items()}
        yield _Model(label, magnification, patients, made, smallest)


def _figure(metric: str, model: _Model, strict: str) -> _Figure:
    made, smallest, patients = model.made, model.smallest, model.patients
    values = {name: resampled_interval(of[metric], patients, smallest[name]) for name, of in made.items()}
    gaps = {
        name: resampled_interval(
            difference(of[metric], made[strict][metric]), patients, min(smallest[name], smallest[strict])
        )
        for name, of in made.items()
        if name != strict and strict in made
    }
    return _Figure(metric, model.label, model.magnification, values, gaps)


def _notes(runs: dict[str, Results]) -> list[str]:
    counted = [f"{name} tests {run.test['image'].nunique()} images" for name, run in runs.items()]
    shared = [
        f"{run.run['protocol']['shared_accessions']} accessions on two sides under {name}" for name, run in runs.items()
    ]
    notes = [
        "In %; in brackets the 95 % interval: accessions resampled within their class, the same draws for all columns. "
        "None below five tested accessions of a class.",
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


def _record(figure: _Figure, quantity: str, protocol: str, interval: Interval) -> dict[str, Any]:
    bounds = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {
        "quantity": quantity,
        "metric": figure.metric,
        "model": figure.label,
        "magnification": figure.magnification,
        "protocol": protocol,
        **{name: None if math.isnan(bound) else bound for name, bound in bounds.items()},
    }
