"""Tables of groups and of what they consist of: how each model does on each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pandas as pd

from harness.data.description import plural
from harness.evaluation.metrics import cases
from harness.reporting.analysis import Analysis
from harness.reporting.results import Results
from harness.reporting.table import DASH, Table

_NAME = re.compile(r"[a-z][a-z0-9-]{0,60}")
_TAKEN = frozenset({"differences", "metrics", "thresholds", "shortcuts", "groups", "subgroups", "figures"})

_COLUMNS = ("image", "group", "subgroup", "subtype", "label", "predicted", "model")


class _Share(NamedTuple):
    """Which share of a patient's images at a stratum each model has right: NaN where it tested none of them."""

    patient: str
    label: int
    stratum: str
    images: int
    right: dict[str, float]


def groups_table(analysis: Analysis) -> Table:
    """The share of every group's images that each model has right."""
    return _table(analysis, "groups", analysis.results.data_set.group, lambda table: table["group"])


def subgroups_table(analysis: Analysis) -> Table | None:
    """The same of every subgroup under its subtype; None where groups consist of none."""
    data_set = analysis.results.data_set
    return _table(analysis, "subgroups", data_set.subgroup, cases) if data_set.has_subgroups else None


def _table(analysis: Analysis, general: str, word: str, patient_of: Callable[[pd.DataFrame], pd.Series[str]]) -> Table:
    """Make a table that is called by the data set's word, or in general where that is no name for a file."""
    results, classes = analysis.results, analysis.results.classes
    name = plural(word) if _NAME.fullmatch(plural(word)) and plural(word) not in _TAKEN else general
    order = {stratum: place for place, stratum in enumerate(results.strata)}
    found = sorted(_shares(results, patient_of), key=lambda one: (one.label, one.patient, order[one.stratum]))
    rows = [
        [
            one.patient,
            classes[one.label],
            one.stratum,
            str(one.images),
            *(DASH if pd.isna(share) else f"{100 * share:.0f}" for share in one.right.values()),
        ]
        for one in found
    ]
    records = [
        {
            "patient": one.patient,
            "class": classes[one.label],
            "stratum": one.stratum,
            "images": one.images,
            "model": model,
            "right": None if pd.isna(share) else float(share),
        }
        for one in found
        for model, share in one.right.items()
    ]
    return Table(
        name=name,
        title=results.heading(plural(word).capitalize()),
        columns=[word, "class", "at", "images", *results.labels],
        rows=rows,
        notes=[f"In % of its images, over folds and seeds; {results.decided}.", *results.notes()],
        records=records,
        grouped=True,
    )


def _shares(results: Results, patient_of: Callable[[pd.DataFrame], pd.Series[str]]) -> Iterator[_Share]:
    """Yield what every model has right, stratum by stratum: grouping all rows at once takes much memory."""
    for stratum in results.strata:
        test = results.tested_at(stratum, *_COLUMNS)
        test = test.assign(patient=patient_of(test), right=test["predicted"] == test["label"])
        images = test.groupby(["patient", "label"], observed=True)["image"].nunique()
        means = test.groupby(["patient", "label", "model"], observed=True)["right"].mean()
        shares = means.unstack("model").reindex(columns=results.labels).to_dict("index")
        for (patient, label), number in images.items():
            yield _Share(patient, label, stratum, int(number), shares[patient, label])
