"""Charts of patients and tissues: a strip of accessions, errors by tumour type."""

from __future__ import annotations

import hashlib

import pandas as pd
from matplotlib.axes import Axes

from harness.data.names import CLASSES
from harness.reporting.analysis import Analysis
from harness.reporting.patient_tables import accessions_table
from harness.reporting.report.chart import (
    Chart,
    Entry,
    canvas,
    colour,
    draw_share,
    legend_below,
    name_rows,
    svg_of,
)
from harness.reporting.results import Results
from harness.reporting.table import DASH, Table

_CLASS_MARKS, _CLASS_COLOURS = ("o", "D"), (0, 1)
_SPREAD = 0.3  # of a row's height, so that dots of equal shares do not hide each other
_AREA = 2.5  # square points an image


def accessions_chart(analysis: Analysis, prefix: str) -> Chart:
    """A strip of accessions a model: the share of its images that the model has right."""
    results = analysis.results
    shares = _shares(results)
    title, name = "Accessions", f"{prefix}accessions"
    below = shares[shares["right"] < 0.5].groupby("model")["accession"].nunique()
    counted = ", ".join(f"{label} {below.get(label, 0)}" for label in results.labels)
    description = (
        "The share of each accession's images that a model has right. "
        f"Of {shares['accession'].nunique()} accessions below half at a stratum or more: {counted}."
    )
    names: dict[str, list[str]] = {}
    height = 1.2 + 0.5 * len(results.labels)
    with canvas(height, len(results.strata), sharex=True, sharey=True) as (figure, panels):
        for axes, stratum in zip(panels, results.strata, strict=True):
            _draw_strip(axes, results, shares[shares["stratum"] == stratum], names)
            name_rows(axes, results.labels)
            axes.set(title=stratum, xlabel="right (%)", xlim=(-4, 104))
        legend_below(
            figure,
            [
                Entry(words, colour(_CLASS_COLOURS[label]), _CLASS_MARKS[label], "")
                for label, words in enumerate(CLASSES)
                if (shares["label"] == label).any()
            ],
        )
        svg = svg_of(figure, name, title, description, names)
    caption = "A dot is an accession, as large as its images are many; over folds and seeds, decided at 0.5."
    return Chart(name, title, description, caption, svg, accessions_table(analysis))


def tumours_chart(analysis: Analysis, prefix: str) -> Chart:
    """The share of each tumour type's images that a model has right."""
    results = analysis.results
    test = results.test.assign(right=results.test["predicted"] == results.test["label"])
    shares = test.groupby(["type", "label", "stratum", "model"])["right"].mean()
    images = test.groupby(["type", "label", "stratum"])["image"].nunique()
    types = [kind for kind, _ in sorted(images.groupby(["type", "label"]).size().index, key=lambda one: one[::-1])]
    labels = {kind: label for kind, label, _ in images.index}
    title, name = "Tumour types", f"{prefix}tumours"
    with canvas(0.9 + 0.32 * len(types), len(results.strata), sharey=True) as (figure, panels):
        for axes, stratum in zip(panels, results.strata, strict=True):
            for row, kind in enumerate(types):
                for column, model in enumerate(results.labels):
                    share = shares.get((kind, labels[kind], stratum, model))
                    if share is not None:
                        draw_share(axes, row, column, float(share))
            name_rows(axes, [f"{kind} ({CLASSES[labels[kind]]})" for kind in types])
            axes.set_xticks(range(len(results.labels)), [str(place + 1) for place in range(len(results.labels))])
            axes.set(title=stratum, xlim=(-0.5, len(results.labels) - 0.5))
            axes.grid(visible=False)
        numbered = ", ".join(f"{place} {label}" for place, label in enumerate(results.labels, 1))
        description = f"Images of each tumour type that a model has right, in %. Columns: {numbered}."
        svg = svg_of(figure, name, title, description, {})
    caption = f"In %; the darker, the more. Columns: {numbered}. Of a benign type right means called benign."
    return Chart(name, title, description, caption, svg, _tumour_table(results, name, shares, images))


def _shares(results: Results) -> pd.DataFrame:
    test = results.test.assign(right=results.test["predicted"] == results.test["label"])
    grouped = test.groupby(["model", "stratum", "accession", "label"])
    return grouped.agg(right=("right", "mean"), images=("image", "nunique")).reset_index()


def _draw_strip(axes: Axes, results: Results, shares: pd.DataFrame, names: dict[str, list[str]]) -> None:
    for label, words in enumerate(CLASSES):
        own = shares[shares["label"] == label]
        if own.empty:
            continue
        gid = f"dots{len(names)}"
        rows = own["model"].map(results.labels.index) + own["accession"].map(_offset)
        dots = axes.scatter(
            100 * own["right"],
            rows,
            s=_AREA * own["images"],
            color=colour(_CLASS_COLOURS[label]),
            marker=_CLASS_MARKS[label],
            alpha=0.45,
            linewidths=0,
        )
        dots.set_gid(gid)
        names[gid] = [
            f"{one.model}: accession {one.accession}, {words}, {one.images} images, {100 * one.right:.0f} % right"
            for one in own.itertuples()
        ]


def _offset(accession: str) -> float:
    """Return how far an accession stands from the middle of its row: the same in every row."""
    return _SPREAD * (hashlib.sha256(accession.encode()).digest()[0] / 255 * 2 - 1)


def _tumour_table(results: Results, name: str, shares: pd.Series[float], images: pd.Series[int]) -> Table:
    rows, records = [], []
    for kind, label, stratum in sorted(images.index, key=lambda one: (one[1], one[0], results.strata.index(one[2]))):
        found = [shares.get((kind, label, stratum, model)) for model in results.labels]
        shown = [DASH if share is None else f"{100 * share:.0f}" for share in found]
        rows.append([kind, CLASSES[label], stratum, str(images[kind, label, stratum]), *shown])
        records += [
            {"type": kind, "class": CLASSES[label], "stratum": stratum, "model": model, "right": float(share)}
            for model, share in zip(results.labels, found, strict=True)
            if share is not None
        ]
    columns = ["type", "class", "at", "images", *results.labels]
    return Table(name=name, title="Tumour types", columns=columns, rows=rows, notes=[], records=records, grouped=True)
