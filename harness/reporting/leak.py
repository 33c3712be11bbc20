"""The leak table: the same models under several protocols."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.evaluation.bootstrap import Interval
from harness.reporting.results import Results, resampled_within
from harness.reporting.study_models import (
    RunModel,
    heading,
    interval_record,
    interval_text,
    missing_notes,
    run_models,
)
from harness.reporting.table import Table

_METRICS = ("p_img", "p_arp_subgroup", "balanced_accuracy", "auc")


def leak_table(runs: dict[str, Results]) -> Table:
    """Compare protocols: every number, and how much higher it is than under the last, strictest protocol.

    Accessions are resampled within their class, the same draws for all protocols and models.

    Args:
        runs: By protocol, the strictest last; all of the same models and images.
    """
    *loose, strict = runs
    found = list(_metric_rows(runs, strict))
    rows = [
        [
            runs[strict].title(row.metric),
            row.label,
            row.stratum,
            *(interval_text(row.levels.get(name)) for name in runs),
            *(interval_text(row.gaps.get(name), "+") for name in loose),
        ]
        for row in found
    ]
    records = [
        _record(row, quantity, name, interval)
        for row in found
        for quantity, intervals in (("value", row.levels), (f"minus {strict}", row.gaps))
        for name, interval in intervals.items()
    ]
    columns = ["metric", "model", "at", *runs, *(f"{name} minus {strict}" for name in loose)]
    return Table(
        name="leak",
        title=heading("Accuracy by protocol", runs),
        columns=columns,
        rows=rows,
        notes=_notes(runs),
        records=records,
        grouped=True,
    )


@dataclass(frozen=True)
class _MetricRow:
    """A metric of a model by protocol, and its distance to the strictest protocol."""

    metric: str
    label: str
    stratum: str
    levels: dict[str, Interval]
    gaps: dict[str, Interval]


def _metric_rows(runs: dict[str, Results], strict: str) -> Iterator[_MetricRow]:
    for stratum in runs[strict].strata:
        models = run_models(runs, stratum)
        for label in runs[strict].labels:
            own = {name: models[name, label] for name in runs if (name, label) in models}
            for metric in _METRICS:
                yield _metric_row(metric, own, strict, (label, stratum))


def _metric_row(metric: str, own: dict[str, RunModel], strict: str, of: tuple[str, str]) -> _MetricRow:
    levels = {name: model.value(metric) for name, model in own.items()}
    gaps = {name: model.minus(own[strict], metric) for name, model in own.items() if name != strict and strict in own}
    return _MetricRow(metric, *of, levels, gaps)


def _notes(runs: dict[str, Results]) -> list[str]:
    first = next(iter(runs.values()))
    groups = first.groups
    counted = [f"{name} tests {run.test['image'].nunique()} images" for name, run in runs.items()]
    shared = [f"{run.run.protocol.shared_groups} {run.groups} on two sides under {name}" for name, run in runs.items()]
    notes = [
        f"In %; in brackets the 95 % interval: {groups} resampled {resampled_within(first)}, the same draws for all "
        "columns. "
        f"None below five tested {groups} of a class.",
        f"{'; '.join(counted)}; {'; '.join(shared)}.",
    ]
    message = ("LEAK", *(f"{run.run.protocol.shared_groups} {run.groups}" for run in runs.values()))
    others = dict.fromkeys(note for run in runs.values() for note in run.notes() if not note.startswith(message))
    return [*notes, *others, *missing_notes(runs)]


def _record(row: _MetricRow, quantity: str, protocol: str, interval: Interval) -> dict[str, Any]:
    return {
        "quantity": quantity,
        "metric": row.metric,
        "model": row.label,
        "stratum": row.stratum,
        "protocol": protocol,
        **interval_record(interval),
    }
