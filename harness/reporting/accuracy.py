"""Table 3: the paper's two recognition rates, with intervals."""

from __future__ import annotations

from typing import Any

from harness.data.description import plural
from harness.evaluation.metrics import cases
from harness.reporting import paper
from harness.reporting.analysis import RATES, Analysis
from harness.reporting.contrasts import summarise
from harness.reporting.numbers import below_value, value_text
from harness.reporting.results import Results, resampled_within
from harness.reporting.scores import Score
from harness.reporting.shortcuts import summarise_shortcuts
from harness.reporting.table import BEST, Table

_PAPER: dict[str, dict[str, dict[str, float]]] = {"p_arp_subgroup": paper.P_ARP, "p_img": paper.P_IMG}


def table_3(analysis: Analysis) -> Table:
    """P_arp and P_img by network and magnification, the interval under the value, the paper's value beside it."""
    results, missing = analysis.results, analysis.results.missing_notes()
    rows = [row for metric in RATES for label in results.labels for row in _rows(analysis, metric, label)]
    records = [
        _record(results, score)
        for metric in RATES
        for label in results.labels
        for score in analysis.line(metric, label)
        if score is not None
    ]
    return Table(
        name="table3",
        number=3,
        title=results.heading("Accuracy"),
        columns=["metric", "model", *results.strata],
        rows=rows,
        lead=lead_of(analysis),
        notes=[
            *_explanations(analysis),
            *results.notes(),
            *results.paper_notes(),
            *paper.DOUBTS[:1] * results.is_of_paper,
            *missing,
        ],
        records=records,
        grouped=True,
    )


def lead_of(analysis: Analysis) -> list[str]:
    """Say in plain sentences what can be told from the reference, and from the best shortcut."""
    results = analysis.results
    shown = [contrast for contrast in analysis.contrasts if contrast.metric in RATES]
    return [
        *summarise(results, shown),
        *summarise_shortcuts(results, analysis.shortcuts, analysis.beaten),
        *results.reference_notes(),
    ]


def _rows(analysis: Analysis, metric: str, label: str) -> list[list[str]]:
    """Return a model's values, and below them their intervals."""
    line, results = analysis.line(metric, label), analysis.results
    published = _PAPER[metric].get(results.paper_network(label) or "", {})
    values = [
        value_text(score)
        + (BEST if analysis.best.get((metric, stratum)) == label else "")
        + (f" [{published[stratum]:.1f}]" if stratum in published else "")
        for score, stratum in zip(line, results.strata, strict=True)
    ]
    return [[results.title(metric), label, *values], ["", "", *map(below_value, line)]]


def _explanations(analysis: Analysis) -> list[str]:
    results = analysis.results
    tested = [_tested(results, stratum) for stratum in results.strata]
    pooled = "Pooled over folds, seeds averaged" if results.cross_validated else "Means over folds and seeds"
    marked = f" {BEST}: the best of its column, and told from every other model there." if analysis.best else ""
    return [
        f"In %; below a value its 95 % interval: expanded percentile bootstrap, {results.groups} resampled "
        f"{resampled_within(results)}. {pooled}.{marked}",
        _patients(results),
        f"Tested: {'; '.join(tested)}.",
    ]


def _tested(results: Results, stratum: str) -> str:
    """Say how many images and groups were tested at a stratum."""
    data_set = results.data_set
    images = results.tested_at(stratum, "image", "subtype", "subgroup", "group", "label").drop_duplicates("image")
    slides = [f"{cases(images).nunique()} {plural(data_set.subgroup)}"] if data_set.has_subgroups else []
    counted = ", ".join([f"{len(images)} images", *slides, f"{images['group'].nunique()} {results.groups}"])
    largest = 100 * images["label"].value_counts(normalize=True).max()
    return f"at {stratum} {counted}, {largest:.1f} % of the largest class"


def _patients(results: Results) -> str:
    """Say what P_arp takes as a patient."""
    data_set = results.data_set
    if not data_set.groups:
        return "P_arp (eq. 2) is P_img here, since nobody knows which images belong together; P_img is eq. 3."
    under = " under one diagnosis" if data_set.subtype else ""
    literature = ", as the literature does" if data_set.has_subgroups else ""
    unit = f"takes a {data_set.subgroup}{under} as a patient{literature}"
    return f"P_arp (eq. 2) {unit if data_set.subgroup != 'patient' else 'is a mean over patients'}; P_img is eq. 3."


def _record(results: Results, score: Score) -> dict[str, Any]:
    published = _PAPER[score.metric].get(results.paper_network(score.label) or "", {}).get(score.stratum)
    printed = None if published is None else published / 100
    return {
        **score.record(),
        "paper": printed,
        "difference": None if printed is None or score.value is None else score.value - printed,
    }
