"""Table 3: accuracy with intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from harness.evaluation.metric_names import METRIC_NAMES, title_of
from harness.evaluation.metrics import cases
from harness.reporting import paper
from harness.reporting.contrasts import Contrast, Decisions, contrasts, decisions, summarise
from harness.reporting.results import Results
from harness.reporting.scores import AT_CHOSEN, CHOSEN, Score, scores, tested_models
from harness.reporting.shortcuts import best_shortcuts, shortcut_contrasts, summarise_shortcuts
from harness.reporting.table import DASH, Table, p_text

_PAPER: dict[str, dict[str, dict[str, float]]] = {"p_arp_slide": paper.P_ARP, "p_img": paper.P_IMG}
_TITLES = {
    **{key: name.title for key, name in METRIC_NAMES.items() if name.higher_is_better},
    **{f"{key}{CHOSEN}": f"{title_of(key)}, chosen threshold" for key in AT_CHOSEN},
    **{key: f"{name.title} (less is better)" for key, name in METRIC_NAMES.items() if not name.higher_is_better},
}


def table_3(results: Results) -> Table:
    """Accuracy by metric, model and magnification, with 95 % intervals and the paper's numbers."""
    tested = tested_models(results)
    found, against, decided = scores(tested), contrasts(results, tested), decisions(results, tested)
    rows, records = _size_rows(results), [_score_record(results, score) for score in found.values()]
    for metric, title in _TITLES.items():
        for label in results.labels:
            line = [found.get((metric, label, stratum)) for stratum in results.strata]
            rows.append([title, label, *(map(_with_interval, line))])
            rows += _paper_rows(results, metric, title, line, label)
        rows += _contrast_rows(results, against, metric, title)
    rows += _decision_rows(results, decided)
    shortcuts = best_shortcuts(results)
    beaten = shortcut_contrasts(results, tested, shortcuts)
    records += [contrast.record(results.reference) for contrast in against]
    records += [contrast.record(shortcuts[contrast.stratum], "minus shortcut") for contrast in beaten]
    records += [item.record(results.reference) for item in decided]
    columns = ["metric", "model", *(stratum for stratum in results.strata)]
    notes = [
        *summarise_shortcuts(shortcuts, beaten),
        *summarise(results.reference, against),
        *_explanations(results),
        *results.reference_notes(),
        *results.notes(),
        *results.paper_notes(),
        paper.DOUBTS[0],
    ]
    return Table(3, results.heading("Accuracy"), columns, rows, [*notes, *results.missing_notes()], records)


def _explanations(results: Results) -> list[str]:
    pooled = (
        "Predictions are pooled over folds, seeds averaged; the AUC is the mean over folds."
        if results.cross_validated
        else "Mean over folds and seeds."
    )
    return [
        "In %; in brackets the 95 % interval: accessions resampled within their class, the same draws for all models. "
        "It says what other patients would change, not what another training would. None below five accessions of a "
        "class. With BreakHis' 16 benign accessions the intervals hold the truth less often than 95 %: those of "
        "specificity in 85 to 92 %, of an AUC or a balanced accuracy above 90 in 91 % (simulated).",
        "AUPRC is the area under the precision-recall curve of malignant; of a model that knows nothing it is the "
        "share of malignant images.",
        "P_arp (eq. 2) by slide takes a slide under one diagnosis as a patient, as the literature does; by accession, "
        f"the case that its slides were cut from. P_img is eq. 3. {pooled}",
        f"minus {results.reference}: the paired difference with its interval, and p of the corrected resampled t-test "
        "over folds (Nadeau & Bengio 2003), adjusted by Holm over models and magnifications, each metric by itself. "
        "p decides: the interval is of one difference and of patients alone, p asks whether trainings agree as well. "
        "With one seed and five folds only large differences pass. "
        "McNemar: p on accessions, an accession's mean probability against the threshold, adjusted likewise.",
        "A threshold is 0.5, or chosen: that of the best balanced accuracy on the cell's own validation images.",
    ]


def _paper_rows(results: Results, metric: str, title: str, line: list[Score | None], label: str) -> list[list[str]]:
    network = results.paper_network(label) or ""
    published = _PAPER.get(metric, {}).get(network)
    if published is None:
        return []
    cells = [_beside(score, published.get(stratum)) for score, stratum in zip(line, results.strata, strict=True)]
    return [[title, f"paper: {network}", *cells]]


def _contrast_rows(results: Results, against: list[Contrast], metric: str, title: str) -> list[list[str]]:
    found = {(contrast.label, contrast.stratum): contrast for contrast in against if contrast.metric == metric}
    return [
        [
            f"{title} minus {results.reference}",
            label,
            *(_difference(found.get((label, stratum))) for stratum in results.strata),
        ]
        for label in dict.fromkeys(label for label, _ in found)
    ]


def _decision_rows(results: Results, decided: list[Decisions]) -> list[list[str]]:
    found = {(item.label, item.stratum): item for item in decided}
    kinds: tuple[tuple[str, Callable[[Decisions], float]], ...] = (
        ("McNemar p", lambda item: item.p_half),
        ("McNemar p, chosen threshold", lambda item: item.p_chosen),
    )
    return [
        [
            f"{title}, against {results.reference}",
            label,
            *(p_text(p_of(found[label, m])) if (label, m) in found else DASH for m in results.strata),
        ]
        for title, p_of in kinds
        for label in dict.fromkeys(label for label, _ in found)
    ]


def _size_rows(results: Results) -> list[list[str]]:
    """How many images, slides and accessions were tested, and the share of the larger class among them."""
    tested = results.test.drop_duplicates("image")
    by_stratum = {str(m): table for m, table in tested.groupby("stratum")}
    counts: tuple[tuple[str, Callable[[pd.DataFrame], str]], ...] = (
        ("slides", lambda table: str(cases(table).nunique())),
        ("accessions", lambda table: str(table["accession"].nunique())),
        ("images", lambda table: str(len(table))),
        ("majority class", lambda table: f"{100 * table['label'].value_counts(normalize=True).max():.1f}"),
    )
    return [
        [
            title,
            "(tested)",
            *(count(by_stratum[m]) if m in by_stratum else DASH for m in results.strata),
        ]
        for title, count in counts
    ]


def _score_record(results: Results, score: Score) -> dict[str, Any]:
    published = _PAPER.get(score.metric, {}).get(results.paper_network(score.label) or "", {}).get(score.stratum)
    printed = None if published is None else published / 100
    return {
        "quantity": "value",
        "metric": score.metric,
        "model": score.label,
        "stratum": score.stratum,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "paper": printed,
        "difference": None if printed is None or score.value is None else score.value - printed,
    }


def _with_interval(score: Score | None) -> str:
    if score is None or score.value is None:
        return DASH
    if score.low is None or score.high is None:
        return f"{100 * score.value:.1f}"
    return f"{100 * score.value:.1f} ({100 * score.low:.1f} to {100 * score.high:.1f})"


def _beside(score: Score | None, published: float | None) -> str:
    if published is None:
        return DASH
    if score is None or score.value is None:
        return f"{published:.1f}"
    return f"{published:.1f} (here {100 * score.value - published:+.1f})"


def _difference(contrast: Contrast | None) -> str:
    if contrast is None:
        return DASH
    low, high = contrast.low, contrast.high
    interval = "" if low is None or high is None else f" ({100 * low:+.1f} to {100 * high:+.1f})"
    tested = "" if contrast.p_t is None else f", p {p_text(contrast.p_t)}"
    return f"{100 * contrast.value:+.1f}{interval}{tested}"
