"""Tables of accessions and of slides: how each model does on each of them."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from harness.data.names import CLASSES
from harness.evaluation.metrics import cases
from harness.reporting.analysis import Analysis
from harness.reporting.table import DASH, Table


def accessions_table(analysis: Analysis) -> Table:
    """The share of every accession's images that each model has right."""
    return _table(analysis, "accessions", "Accessions", lambda table: table["accession"])


def slides_table(analysis: Analysis) -> Table:
    """The same of every slide under its diagnosis."""
    return _table(analysis, "slides", "Slides", cases)


def _table(analysis: Analysis, name: str, title: str, patient_of: Callable[[pd.DataFrame], pd.Series[str]]) -> Table:
    results = analysis.results
    test = results.test.assign(patient=patient_of(results.test))
    test = test.assign(right=test["predicted"] == test["label"])
    by = ["patient", "label", "stratum"]
    images = test.groupby(by)["image"].nunique()
    shares = test.groupby([*by, "model"])["right"].mean().unstack("model").reindex(columns=results.labels)
    order = {stratum: place for place, stratum in enumerate(results.strata)}
    places = sorted(images.index, key=lambda place: (place[1], place[0], order[place[2]]))
    rows = [
        [
            patient,
            CLASSES[label],
            stratum,
            str(images[patient, label, stratum]),
            *(DASH if pd.isna(share) else f"{100 * share:.0f}" for share in shares.loc[(patient, label, stratum)]),
        ]
        for patient, label, stratum in places
    ]
    records = [
        {
            "patient": patient,
            "class": CLASSES[label],
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
        title=results.heading(title),
        columns=[name.removesuffix("s"), "class", "at", "images", *results.labels],
        rows=rows,
        notes=["In % of its images, over folds and seeds; decided at 0.5.", *results.notes()],
        records=records,
        grouped=True,
    )
