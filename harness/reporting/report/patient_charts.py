"""Charts of patients and tissues: a strip of groups, errors by subtype."""

from __future__ import annotations

import hashlib

import pandas as pd
from matplotlib.axes import Axes

from harness.data.description import plural
from harness.reporting.analysis import Analysis
from harness.reporting.patient_tables import groups_table
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

_CLASS_MARKS = ("o", "D", "^", "s", "v", "P", "X")
_SPREAD = 0.3  # of a row's height, so that dots of equal shares do not hide each other
_AREA = 2.5  # square points an image


def groups_chart(analysis: Analysis, prefix: str) -> Chart:
    """A strip of groups a model: the share of its images that the model has right."""
    results = analysis.results
    group, groups = results.data_set.group, results.groups
    shares = _shares(results)
    title, name = groups.capitalize(), f"{prefix}groups"
    below = shares[shares["right"] < 0.5].groupby("model")["group"].nunique()
    counted = ", ".join(f"{label} {below.get(label, 0)}" for label in results.labels)
    description = (
        f"The share of each {group}'s images that a model has right. "
        f"Of {shares['group'].nunique()} {groups} below half at a stratum or more: {counted}."
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
                Entry(words, colour(label), _CLASS_MARKS[label % len(_CLASS_MARKS)], "")
                for label, words in enumerate(results.classes)
                if (shares["label"] == label).any()
            ],
        )
        svg = svg_of(figure, name, title, description, names)
    caption = f"A dot is one {group}, as large as its images are many; over folds and seeds, {results.decided}."
    return Chart(name, title, description, caption, svg, groups_table(analysis))


def subtypes_chart(analysis: Analysis, prefix: str) -> Chart:
    """The share of each subtype's images (of each class's, where there are none) that a model has right."""
    results = analysis.results
    classes, word = results.classes, results.data_set.subtype or "class"
    test = results.test.assign(right=results.test["predicted"] == results.test["label"])
    if results.data_set.subtype is None:
        test = test.assign(subtype=test["label"].map(dict(enumerate(classes))))
    shares = test.groupby(["subtype", "label", "stratum", "model"])["right"].mean()
    images = test.groupby(["subtype", "label", "stratum"])["image"].nunique()
    kinds = sorted({(kind, label) for kind, label, _ in images.index}, key=lambda one: one[::-1])
    title, name = plural(word).capitalize() if word != "class" else "Classes", f"{prefix}subtypes"
    with canvas(0.9 + 0.32 * len(kinds), len(results.strata), sharey=True) as (figure, panels):
        for axes, stratum in zip(panels, results.strata, strict=True):
            for row, (kind, label) in enumerate(kinds):
                for column, model in enumerate(results.labels):
                    share = shares.get((kind, label, stratum, model))
                    if share is not None:
                        draw_share(axes, row, column, float(share))
            name_rows(axes, [_named(kind, classes[label]) for kind, label in kinds])
            axes.set_xticks(range(len(results.labels)), [str(place + 1) for place in range(len(results.labels))])
            axes.set(title=stratum, xlim=(-0.5, len(results.labels) - 0.5))
            axes.grid(visible=False)
        numbered = ", ".join(f"{place} {label}" for place, label in enumerate(results.labels, 1))
        description = f"Images of each {word} that a model has right, in %. Columns: {numbered}."
        svg = svg_of(figure, name, title, description, {})
    right = f" Right: called {classes[0]} of a {word} that is {classes[0]}." if results.data_set.subtype else ""
    caption = f"In %; the darker, the more. Columns: {numbered}.{right}"
    return Chart(name, title, description, caption, svg, _subtype_table(results, (name, title, word), shares, images))


def _named(kind: str, words: str) -> str:
    return kind if kind == words else f"{kind} ({words})"


def _shares(results: Results) -> pd.DataFrame:
    test = results.test.assign(right=results.test["predicted"] == results.test["label"])
    grouped = test.groupby(["model", "stratum", "group", "label"])
    return grouped.agg(right=("right", "mean"), images=("image", "nunique")).reset_index()


def _draw_strip(axes: Axes, results: Results, shares: pd.DataFrame, names: dict[str, list[str]]) -> None:
    word = results.data_set.group
    for label, words in enumerate(results.classes):
        own = shares[shares["label"] == label]
        if own.empty:
            continue
        gid = f"dots{len(names)}"
        rows = own["model"].map(results.labels.index) + own["group"].map(_offset)
        dots = axes.scatter(
            100 * own["right"],
            rows,
            s=_AREA * own["images"],
            color=colour(label),
            marker=_CLASS_MARKS[label % len(_CLASS_MARKS)],
            alpha=0.45,
            linewidths=0,
        )
        dots.set_gid(gid)
        names[gid] = [
            f"{one.model}: {word} {one.group}, {words}, {one.images} images, {100 * one.right:.0f} % right"
            for one in own.itertuples()
        ]


def _offset(group: str) -> float:
    """Return how far a group stands from the middle of its row: the same in every row."""
    return _SPREAD * (hashlib.sha256(group.encode()).digest()[0] / 255 * 2 - 1)


def _subtype_table(
    results: Results, words: tuple[str, str, str], shares: pd.Series[float], images: pd.Series[int]
) -> Table:
    """Make the table beneath the chart; ``words`` are its name, its title and what a row is."""
    rows, records = [], []
    (name, title, word), classes = words, results.classes
    for kind, label, stratum in sorted(images.index, key=lambda one: (one[1], one[0], results.strata.index(one[2]))):
        found = [shares.get((kind, label, stratum, model)) for model in results.labels]
        shown = [DASH if share is None else f"{100 * share:.0f}" for share in found]
        rows.append([kind, classes[label], stratum, str(images[kind, label, stratum]), *shown])
        records += [
            {"subtype": kind, "class": classes[label], "stratum": stratum, "model": model, "right": float(share)}
            for model, share in zip(results.labels, found, strict=True)
            if share is not None
        ]
    columns = [word if results.data_set.subtype else "subtype", "class", "at", "images", *results.labels]
    return Table(name=name, title=title, columns=columns, rows=rows, notes=[], records=records, grouped=True)
