"""The ablation table: models of several variants against one reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.evaluation.bootstrap import Interval
from harness.reporting.provenance import mean_inspection
from harness.reporting.results import Results, resampled_within
from harness.reporting.study_models import (
    RunModel,
    heading,
    interval_record,
    interval_text,
    missing_notes,
    run_models,
)
from harness.reporting.table import DASH, Table
from harness.text import natural_order

_METRICS = ("p_img", "p_arp_group", "balanced_accuracy", "auc")
_CONTRASTED = ("balanced_accuracy", "auc")
_WHERE_THE_IMAGES_LIE = ("data.folder", "sources.")
"""Keys of a config that are no part of what is compared."""


def ablation_table(runs: dict[str, Results]) -> Table:
    """Compare variants and their models: every number, and the paired difference to the reference.

    Groups are resampled within their class, the same draws for all variants and models of a stratum.

    Args:
        runs: By variant; the reference is the first one's reference model.
    """
    found = list(_lines(runs))
    rows = [
        [
            line.model.run,
            line.model.label,
            line.model.stratum,
            *(interval_text(line.levels[metric]) for metric in _METRICS),
            *(_gap_text(line, metric) for metric in _CONTRASTED),
        ]
        for line in found
    ]
    title = next(iter(runs.values())).title
    minus = [f"{title(metric)} minus reference" for metric in _CONTRASTED]
    columns = ["variant", "model", "at", *map(title, _METRICS), *minus]
    records = [record for line in found for record in _records(line, _reference(runs))]
    return Table(
        name="ablation",
        title=heading("Ablation", runs),
        columns=columns,
        rows=rows,
        notes=_notes(runs),
        records=records,
    )


@dataclass(frozen=True)
class _Line:
    """A model of a variant: its metrics, and their distance to the reference where both tested the same images."""

    model: RunModel
    is_reference: bool
    levels: dict[str, Interval]
    gaps: dict[str, Interval]


def _lines(runs: dict[str, Results]) -> Iterator[_Line]:
    for stratum in natural_order({stratum for run in runs.values() for stratum in run.strata}):
        models = run_models(runs, stratum)
        reference = models.get(_reference(runs))
        for model in models.values():
            levels = {metric: model.value(metric) for metric in _METRICS}
            yield _Line(model, model is reference, levels, _gaps(model, reference))


def _gaps(model: RunModel, reference: RunModel | None) -> dict[str, Interval]:
    pair = None if reference is None or model is reference else model.paired(reference)
    if pair is None:
        return {}
    ours, theirs = pair
    return {metric: ours.minus(theirs, metric) for metric in _CONTRASTED}


def _reference(runs: dict[str, Results]) -> tuple[str, str]:
    """Name the variant and the model that all are compared with."""
    variant, results = next(iter(runs.items()))
    return variant, results.reference


def _gap_text(line: _Line, metric: str) -> str:
    return "reference" if line.is_reference else interval_text(line.gaps.get(metric), "+")


def _records(line: _Line, reference: tuple[str, str]) -> Iterator[dict[str, Any]]:
    model, (variant, label) = line.model, reference
    for quantity, intervals in (("value", line.levels), ("difference", line.gaps)):
        for metric, interval in intervals.items():
            yield {
                "quantity": quantity,
                "metric": metric,
                "variant": model.run,
                "model": model.label,
                "stratum": model.stratum,
                **interval_record(interval),
                "reference_variant": variant if quantity == "difference" else None,
                "reference_model": label if quantity == "difference" else None,
            }


def _notes(runs: dict[str, Results]) -> list[str]:
    (variant, label), first = _reference(runs), next(iter(runs.values()))
    return [
        f"The reference is {label} of {variant}. Differences are paired: on the images and cells that both have.",
        *(_changes(name, run, variant, first) for name, run in runs.items() if name != variant),
        f"In %; in brackets the 95 % interval: {first.groups} resampled {resampled_within(first)}, the same draws for "
        "all rows. It says what other patients would change, not what another training would. None below five tested "
        f"{first.groups} of a class.",
        *_inspections(runs),
        *first.reference_notes(),
        *_run_notes(runs),
        *missing_notes(runs),
    ]


def _inspections(runs: dict[str, Results]) -> list[str]:
    """Say what each model tells of its networks after each stage, such as which gates were trained and moved."""
    return [
        f"{name}, {label}, after {stage}: {', '.join(f'{what} {value:.4f}' for what, value in numbers.items())}."
        for name, run in runs.items()
        for label in run.labels
        for stage, numbers in mean_inspection(run.cells_of(label)).items()
    ]


def _changes(name: str, run: Results, base: str, first: Results) -> str:
    """Say in what a variant's config differs from the first one's."""
    before, now = (dict(_flat(results.run.config.model_dump(mode="json"))) for results in (first, run))
    changed = [
        f"{key} {now.get(key, DASH)} instead of {before.get(key, DASH)}"
        for key in {**before, **now}
        if before.get(key) != now.get(key) and not key.startswith(_WHERE_THE_IMAGES_LIE)
    ]
    return f"{name} differs from {base} in {'; '.join(changed) or 'nothing'}."


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys and their values as text."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value if isinstance(value, str) else json.dumps(value)


def _run_notes(runs: dict[str, Results]) -> list[str]:
    """Return what the runs say of themselves: once where all say it, under the variant's name elsewhere."""
    message = {name: run.notes() for name, run in runs.items()}
    shared = [note for note in next(iter(message.values())) if all(note in notes for notes in message.values())]
    own = [f"{name}: {note}" for name, notes in message.items() for note in notes if note not in shared]
    return [*shared, *own]
