"""Tables of groups and of what they consist of: how each model does on each of them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd

from harness.data.description import plural
from harness.evaluation.metrics import cases
from harness.reporting.analysis import Analysis
from harness.reporting.table import DASH, Table

_NAME = re.compile(r"[a-z][a-z0-9-]{0,60}")
_TAKEN = frozenset({"differences", "metrics", "thresholds", "shortcuts", "groups", "subgroups", "figures"})

_COLUMNS = ("image", "group", "subgroup", "subtype", "stratum", "label", "predicted", "model")


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
    test = results.tested_columns(*_COLUMNS)
    test = test.assign(patient=patient_of(test), right=test["predicted"] == test["label"])
    by = ["patient", "label", "stratum"]
    images = test.groupby(by, observed=True)["image"].nunique()
    shares = (
        test.groupby([*by, "model"], observed=True)["right"].mean().unstack("model").reindex(columns=results.labels)
    )
    order = {stratum: place for place, stratum in enumerate(results.strata)}
    places = sorted(images.index, key=lambda place: (place[1], place[0], order[place[2]]))
    rows = [
        [
            patient,
            classes[label],
            stratum,
            str(images[patient, label, stratum]),
            *(DASH if pd.isna(share) else f"{100 * share:.0f}" for share in shares.loc[(patient, label, stratum)]),
        ]
        for patient, label, stratum in places
    ]
    records = [
        {
            "patient": patient,
            "class": classes[label],
            "stratum": stratum,
            "images": int(images[patient, label, stratum]),
            "model": model,
            "right": None if pd.isna(share) else float(share),
        }
        for patient, label, stratum in places
        for model, share in shares.loc[(patient, label, stratum)].items()
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
