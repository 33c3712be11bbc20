"""The comparison of two runs: better, worse, or not to be told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.errors import ComparisonError, UsageError, did_you_mean
from harness.evaluation.changes import (
    Change,
    Judgement,
    accuracy_change,
    confidence_change,
    cost_change,
    judge,
    pair_images,
    right_class,
)
from harness.evaluation.metrics import balanced_accuracy
from harness.reporting.learning_cost import learning_costs, timing_variance
from harness.reporting.results import Results
from harness.reporting.table import DASH, Table, p_text
from harness.store.keys import first_difference
from harness.text import natural_order

ACCURACY, CONFIDENCE, IMAGES, COST = (
    "balanced accuracy",
    "confidence",
    "area over the training curve",
    "calibrated cost",
)
SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Margins:
    """Changes that do not matter.

    Attributes:
        accuracy: Of balanced accuracy and confidence, as a fraction.
        convergence: Of images and calibrated cost, relative.
    """

    accuracy: float = 0.02
    convergence: float = 0.1


@dataclass(frozen=True)
class ComparedRow:
    """One quantity of one model, in both runs.

    Attributes:
        label: The model.
        quantity: ``balanced accuracy``, ``confidence``, ``area over the training curve`` or ``calibrated cost``.
        stratum: None for all together.
        base: In the first run: a fraction, or images, or multiples of the calibration workload, summed over cells.
        new: In the second.
        change: New against base; positive is better.
        margin: The change that does not matter, in the unit of ``change``.
        remark: What else a reader must know.
    """

    label: str
    quantity: str
    stratum: str | None
    base: float
    new: float
    change: Change
    margin: float
    remark: str = ""

    @property
    def is_cost(self) -> bool:
        """True where the change is a logarithm of a ratio."""
        return self.quantity in {IMAGES, COST}


@dataclass(frozen=True)
class Comparison:
    """The answer.

    Attributes:
        rows: What was compared, with its judgement.
        missing: Cells that only the first run has finished, by model.
        notes: What a reader must know.
        leaky: Patients stand on two sides in these runs.
    """

    rows: list[tuple[ComparedRow, Judgement]]
    missing: dict[str, int]
    notes: list[str]
    leaky: bool

    @property
    def regressions(self) -> list[str]:
        """What got worse, in words; empty if nothing did."""
        lost = [f"{label}: {number} finished cells of the base are missing" for label, number in self.missing.items()]
        return lost + [f"{row.label}: {_reason(row, found)}" for row, found in self.rows if found.verdict == "worse"]

    def to_json(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        return {
            "schema_version": SCHEMA_VERSION,
            "regressions": self.regressions,
            "missing": self.missing,
            "rows": [_record(row, found) for row, found in self.rows],
            "notes": self.notes,
        }


def compare_runs(base: Results, new: Results, margins: Margins, models: Sequence[str] | None = None) -> Comparison:
    """Compare every model that the base has.

    Args:
        base: The run to compare with.
        new: The other.
        margins: Changes that do not matter.
        models: The only models to compare; chance is judged over them alone.

    Raises:
        ComparisonError: The two runs are not of one comparison; the first difference is named.
        UsageError: The base has no such model.
    """
    wanted = base.labels if models is None else list(models)
    for label in wanted:
        if label not in base.labels:
            raise UsageError(f"no model '{label}' in the base{did_you_mean(label, base.labels)}")
    if differs := first_difference(base.run.comparison.to_json(), new.run.comparison.to_json()):
        part, before, now = differs
        raise ComparisonError(
            f"the runs cannot be compared: {part} = {before} in the base, {now} in the new one - run both with the "
            "same config and images"
        )
    labels = [label for label in wanted if label in new.labels]
    rows = [row for label in labels for row in _compare_model(label, base, new, margins)]
    judged = judge([row.change for row in rows], [row.margin for row in rows])
    lost = [cell.model for name, cell in base.cells.items() if name not in new.cells and cell.model in wanted]
    missing = pd.Series(lost, dtype=str)
    return Comparison(
        list(zip(rows, judged, strict=True)),
        {str(label): int(number) for label, number in missing.value_counts().items()},
        _notes(base, new, rows),
        base.run.leaky or new.run.leaky,
    )


def comparison_table(comparison: Comparison, *, whole: bool = False) -> Table:
    """Return it as a table, for Markdown and the rest.

    Args:
        comparison: The answer.
        whole: Show what has not changed row by row as well; otherwise one sentence counts it.
    """
    folded = [row for row, found in comparison.rows if found.verdict == "same" and not whole]
    rows = [
        [
            row.label,
            row.quantity,
            row.stratum or "all",
            *(_level_text(row, value) for value in (row.base, row.new)),
            _with_interval(row),
            DASH if found.p_value is None else p_text(found.p_value),
            found.verdict,
            _why(row, found),
        ]
        for row, found in comparison.rows
        if whole or found.verdict != "same"
    ]
    columns = ["model", "quantity", "at", "base", "new", "change (95 %)", "p", "verdict", "because"]
    worse = comparison.regressions
    title = f"{len(worse)} regression{'s' if len(worse) > 1 else ''}" if worse else "No regression"
    title = f"LEAKY - {title}" if comparison.leaky else title
    records = [_record(row, found) for row, found in comparison.rows]
    return Table(
        name="comparison",
        title=title,
        columns=columns,
        rows=rows,
        lead=[*worse, *_fold(folded)],
        notes=comparison.notes,
        records=records,
    )


def _fold(rows: list[ComparedRow]) -> list[str]:
    """Say in a sentence what is the same, by model."""
    if not rows:
        return []
    counted = {label: sum(row.label == label for row in rows) for label in dict.fromkeys(row.label for row in rows)}
    named = ", ".join(f"{number} of {label}" for label, number in counted.items())
    return [f"The same, within the margin: {named}."]


def _compare_model(label: str, base: Results, new: Results, margins: Margins) -> list[ComparedRow]:
    paired = pair_images(base.test_of(label), new.test_of(label))
    if paired.empty:
        return []
    at = [(stratum, paired[paired["stratum"] == stratum]) for stratum in natural_order(paired["stratum"].unique())]
    places: list[tuple[str | None, pd.DataFrame]] = [*at, (None, paired)] if len(at) > 1 else [*at]
    # balanced accuracy needs all classes
    rows = [
        _accuracy_row(label, m, table, margins) for m, table in places if table["label"].nunique() == len(base.classes)
    ]
    rows.append(_confidence_row(label, paired, margins))
    costs = learning_costs(label, base, new)
    timing = timing_variance(base.cells_of(label)) + timing_variance(new.cells_of(label))
    return rows + (_cost_rows(label, costs, margins, timing) if len(costs) else [])


def _accuracy_row(label: str, stratum: str | None, paired: pd.DataFrame, margins: Margins) -> ComparedRow:
    levels = (balanced_accuracy(paired.assign(predicted=paired[name])) for name in ("predicted", "predicted_new"))
    base, new = (float(level or 0) for level in levels)
    return ComparedRow(label, ACCURACY, stratum, base, new, accuracy_change(paired), margins.accuracy)


def _confidence_row(label: str, paired: pd.DataFrame, margins: Margins) -> ComparedRow:
    base, new = (float(right_class(paired, of).groupby(paired["label"]).mean().mean()) for of in ("", "_new"))
    return ComparedRow(label, CONFIDENCE, None, base, new, confidence_change(paired), margins.accuracy)


def _cost_rows(label: str, costs: pd.DataFrame, margins: Margins, timing: float) -> list[ComparedRow]:
    margin = math.log1p(margins.convergence)
    dead = [int((~costs[column].astype(bool)).sum()) for column in ("converged", "converged_new")]
    remark = f"not converged: {dead[0]} of {len(costs)} cells before, {dead[1]} now" if any(dead) else ""
    images = cost_change(list(costs["images"]), list(costs["images_new"]))
    rows = [_cost_row(label, IMAGES, costs, "images", (images, margin, remark))]
    timed = costs.dropna()
    if len(timed):
        # where nothing is known of chance in images, nothing is of their time
        known = images.standard_error is not None
        change = cost_change(list(timed["calibrated"]), list(timed["calibrated_new"]), timing)
        change = change if known else Change(change.value, None, 0)
        untimed = f"no speed for {len(costs) - len(timed)} cells" if len(timed) < len(costs) else ""
        rows.append(_cost_row(label, COST, timed, "calibrated", (change, margin, untimed)))
    return rows


def _cost_row(
    label: str, quantity: str, costs: pd.DataFrame, column: str, found: tuple[Change, float, str]
) -> ComparedRow:
    base, new = float(costs[column].sum()), float(costs[f"{column}_new"].sum())
    return ComparedRow(label, quantity, None, base, new, *found)


def _notes(base: Results, new: Results, rows: list[ComparedRow]) -> list[str]:
    remarks = dict.fromkeys(f"{row.label}, {row.remark}." for row in rows if row.remark)
    added = [label for label in new.labels if label not in base.labels]
    here = "on the same device" if base.run.device == new.run.device else "on different devices"
    untimed = [label for label in _labels_of(rows, IMAGES) if label not in _labels_of(rows, COST)]
    return [
        *remarks,
        *([f"No calibrated cost, since no speed was measured: {', '.join(untimed)}."] if untimed else []),
        *([f"Only in the new run: {', '.join(added)}."] if added else []),
        f"Change: new minus base in points, paired by image, with errors clustered by {base.data_set.group} and by "
        "cell; of costs "
        "in %, less is better. p: one-sided, adjusted by Holm over the whole table.",
        "Area over the training curve: how far training balanced accuracy stays below the base's plateau, in images of "
        "a network that learns nothing; images that frozen layers turned into features are added. Its time at the "
        "speeds measured alone is the calibrated cost.",
        "Confidence: mean probability of the right class. Same: the 90 % interval lies within the margin. Cannot tell: "
        "a change may be there, and chance alone may have made it.",
        f"The runs were made {here}; times are compared as multiples of the calibration workload only.",
        *dict.fromkeys([*base.notes(), *new.notes()]),
    ]


def _labels_of(rows: list[ComparedRow], quantity: str) -> list[str]:
    """Name the models that have a row of a quantity."""
    return [row.label for row in rows if row.quantity == quantity]


def _level_text(row: ComparedRow, value: float) -> str:
    return (
        f"{value:,.0f}" if row.quantity == IMAGES else f"{value:,.1f}" if row.quantity == COST else f"{100 * value:.1f}"
    )


def _with_interval(row: ComparedRow) -> str:
    low, high = row.change.interval()
    # adding 0 turns a negative zero into a zero
    value, low, high = (_shown(row, bound) + 0.0 for bound in (row.change.value, low, high))
    low, high = sorted((low, high))
    unit = " %" if row.is_cost else ""
    return f"{value:+.1f}{unit} ({low:+.1f} to {high:+.1f})" if math.isfinite(high - low) else f"{value:+.1f}{unit}"


def _shown(row: ComparedRow, value: float) -> float:
    """Points, or for costs by how many percent they rose."""
    if not row.is_cost:
        return 100 * value
    return 100 * math.expm1(-value) if value > -500 else math.inf


def _why(row: ComparedRow, found: Judgement) -> str:
    """Say in a few words what the verdict rests on."""
    if row.change.standard_error is None:
        return "one cell, or all changed alike: chance is unknown"
    if not row.change.testable:
        return "nothing changed"
    if found.verdict == "same":
        return "within the margin"
    return "more than chance" if found.verdict in {"better", "worse"} else "may be chance"


def _reason(row: ComparedRow, found: Judgement) -> str:
    where = f" at {row.stratum}" if row.stratum else ""
    return f"{row.quantity}{where} got worse: {_with_interval(row)}, p {p_text(found.p_value or 0.0)}"


def _record(row: ComparedRow, found: Judgement) -> dict[str, Any]:
    low, high = row.change.interval()
    return {
        "model": row.label,
        "quantity": row.quantity,
        "stratum": row.stratum,
        "base": row.base,
        "new": row.new,
        "change": row.change.value,
        "low": low if math.isfinite(low) else None,
        "high": high if math.isfinite(high) else None,
        "unit": "log(base / new)" if row.is_cost else "fraction",
        "margin": row.margin,
        "p": found.p_value,
        "verdict": found.verdict,
        "because": _why(row, found),
        "remark": row.remark,
    }
