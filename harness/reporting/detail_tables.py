"""Tables beside the paper's: further metrics, thresholds, differences, the best shortcut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from statistics import fmean
from typing import Any

from harness.evaluation.metric_names import METRIC_NAMES
from harness.reporting.analysis import Analysis
from harness.reporting.contrasts import Contrast, Decisions, summarise
from harness.reporting.numbers import below_difference, difference_text, value_with_interval
from harness.reporting.results import Results, resampled_within
from harness.reporting.scores import AT_CHOSEN, CHOSEN
from harness.reporting.shortcuts import METRICS as SHORTCUT_METRICS
from harness.reporting.shortcuts import summarise_shortcuts
from harness.reporting.table import DASH, Table, p_text

_FURTHER = ("p_arp_group", "balanced_accuracy", "auc", "auprc", "sensitivity", "specificity")
_CALIBRATION = ("brier", "ece")
_DECIDES = (
    "p decides: the interval is of one difference and of patients alone, p asks whether trainings agree as well. With "
    "one seed and five folds only large differences pass."
)
_FEW = (
    "With 16 groups of a class, as BreakHis has, the intervals hold the truth less often than 95 %: those of "
    "specificity in 85 to 92 %, of an AUC or a balanced accuracy above 90 in 91 % (simulated)."
)


def metrics_table(analysis: Analysis) -> Table:
    """Further metrics by model and stratum, with intervals."""
    results = analysis.results
    data_set = results.data_set
    by_group = f"P_arp by {data_set.group} takes the {data_set.group} as a patient. " if data_set.has_subgroups else ""
    areas = (
        f"AUC and AUPRC are means over folds; AUPRC is the area under the precision-recall curve of "
        f"{data_set.positive}, of a model that knows nothing the share of {data_set.positive} images."
        if data_set.is_binary
        else f"Of {len(data_set.classes)} classes ({', '.join(data_set.classes)}) balanced accuracy and AUC are macro: "
        "the mean over classes of recall, and of the area of each class against the others, which is also the mean "
        "over folds. Sensitivity, specificity and AUPRC are of a positive class, and absent."
    )
    titles = {metric: results.title(metric) for metric in _FURTHER if metric != "p_arp_group" or by_group}
    return _table_of_scores(analysis, "metrics", "Further metrics", titles, [_intervals(results), by_group + areas])


def thresholds_table(analysis: Analysis) -> Table:
    """Metrics at the thresholds chosen on validation, those thresholds, and calibration."""
    results = analysis.results
    data_set = results.data_set
    titles = {
        **{f"{metric}{CHOSEN}": results.title(metric) for metric in AT_CHOSEN},
        **{metric: f"{results.title(metric)} (less is better)" for metric in _CALIBRATION},
    }
    if not data_set.is_binary:
        notes = [
            _intervals(results),
            "The Brier score is half the sum over classes. A threshold is one of two classes; the class of the highest "
            "probability is called here. The calibration error is of two classes, and absent.",
        ]
        return _table_of_scores(analysis, "thresholds", "Calibration", titles, notes)
    notes = [
        _intervals(results),
        "Each cell's threshold is that of the best balanced accuracy on its own validation images; shown is the mean "
        f"over cells, with the lowest and the highest. Elsewhere an image is called {data_set.positive} from 0.5 on.",
        "Calibration: the Brier score, and the gap between confidence and frequency in ten bins of equal width.",
    ]
    table = _table_of_scores(analysis, "thresholds", "Chosen thresholds and calibration", titles, notes)
    found = [_threshold_row(analysis, label) for label in results.labels]
    rows, records = [row for row, _ in found], [record for _, several in found for record in several]
    return replace(table, rows=[*table.rows, *rows], records=[*table.records, *records])


def differences_table(analysis: Analysis) -> Table:
    """Every model against the reference: paired differences, and tests."""
    results = analysis.results
    rows = _contrast_rows(analysis, analysis.contrasts) + _decision_rows(analysis)
    records = [contrast.record(results.reference) for contrast in analysis.contrasts]
    records += [item.record(results.reference) for item in analysis.decisions]
    notes = [
        "In points, in brackets the 95 % interval over patients, on the images that both tested. p: the corrected "
        "resampled t-test over folds (Nadeau & Bengio 2003), adjusted by Holm over models and strata, each metric by "
        f"itself. {_DECIDES}",
        _mcnemar_note(results),
        *results.notes(),
    ]
    return Table(
        name="differences",
        title=results.heading(f"Differences to {results.reference}"),
        columns=["quantity", "model", *results.strata],
        rows=rows,
        lead=[*summarise(results, analysis.contrasts), *results.reference_notes()],
        notes=notes,
        records=records,
        grouped=True,
    )


def shortcuts_table(analysis: Analysis) -> Table:
    """Every model that is no shortcut against the best shortcut."""
    results, shortcuts = analysis.results, analysis.shortcuts
    named = [["best shortcut", "", *(shortcuts.get(stratum, DASH) for stratum in results.strata)]]
    return Table(
        name="shortcuts",
        title=results.heading("Differences to the best shortcut"),
        columns=["quantity", "model", *results.strata],
        rows=[*(named if shortcuts else []), *_contrast_rows(analysis, analysis.beaten)],
        lead=summarise_shortcuts(results, shortcuts, analysis.beaten),
        notes=[
            "A shortcut looks at a property of the picture and at no tissue; the best one is chosen by AUC on "
            "validation, and "
            f"compared on test ({', '.join(map(results.title, SHORTCUT_METRICS))}), as models are with the reference. "
            f"{_DECIDES}",
            *results.notes(),
        ],
        records=[contrast.record(shortcuts[contrast.stratum], "minus shortcut") for contrast in analysis.beaten],
        grouped=True,
    )


def _table_of_scores(analysis: Analysis, name: str, title: str, titles: dict[str, str], notes: list[str]) -> Table:
    results = analysis.results
    given = {metric for metric, _, _ in analysis.scores}
    lines = [
        (metric, label, analysis.line(metric, label))
        for metric in titles
        if metric in given
        for label in results.labels
    ]
    return Table(
        name=name,
        title=results.heading(title),
        columns=["metric", "model", *results.strata],
        rows=[[titles[metric], label, *map(value_with_interval, line)] for metric, label, line in lines],
        notes=[*notes, *results.notes(), *results.missing_notes()],
        records=[score.record() for _, _, line in lines for score in line if score is not None],
        grouped=True,
    )


def _intervals(results: Results) -> str:
    """Say what intervals are of."""
    return (
        "In %; in brackets the 95 % interval: expanded percentile bootstrap (Hesterberg 2015), "
        f"{results.groups} resampled {resampled_within(results)}, the same draws for all models. It says what other "
        f"patients would change, not what another training would. None below five {results.groups} of a class. "
        f"{_FEW * results.data_set.is_binary}"
    )


def _mcnemar_note(results: Results) -> str:
    groups, group = results.groups, results.data_set.group
    judged = (
        f"the mean probability of each {group} against the threshold"
        if results.data_set.is_binary
        else f"a {group} is called what has the highest mean probability"
    )
    mixed = results.mixed_groups
    left_out = f" {mixed} {groups} of several classes have no one right answer, and are left out." if mixed else ""
    return f"McNemar: p on {groups}, {judged}; adjusted likewise.{left_out}"


def _threshold_row(analysis: Analysis, label: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Return a model's thresholds by stratum: the mean over cells, the lowest and the highest."""
    cells, records = [], []
    for stratum in analysis.results.strata:
        model = analysis.tested[stratum].get(label)
        if model is None or model.thresholds is None:
            cells.append(DASH)
            continue
        found = model.thresholds.sort_index(level=["seed", "fold"])
        mean, low, high = fmean(found), float(found.min()), float(found.max())
        cells.append(f"{mean:.2f} ({low:.2f} to {high:.2f})")
        records.append(
            {"metric": "threshold", "model": label, "stratum": stratum, "value": mean, "low": low, "high": high}
        )
    return ["threshold", label, *cells], records


def _contrast_rows(analysis: Analysis, against: list[Contrast]) -> list[list[str]]:
    """Return differences and p, and below them their intervals, metric by metric."""
    rows, strata = [], analysis.results.strata
    for metric in (metric for metric in METRIC_NAMES if any(contrast.metric == metric for contrast in against)):
        found = {(one.label, one.stratum): one for one in against if one.metric == metric}
        for label in dict.fromkeys(label for label, _ in found):
            line = [found.get((label, stratum)) for stratum in strata]
            rows.append([analysis.results.title(metric), label, *map(difference_text, line)])
            rows.append(["", "", *map(below_difference, line)])
    return rows


def _decision_rows(analysis: Analysis) -> list[list[str]]:
    found = {(item.label, item.stratum): item for item in analysis.decisions}
    labels, strata = list(dict.fromkeys(label for label, _ in found)), analysis.results.strata

    def shown(title: str, label: str, items: Iterable[Decisions | None], name: str) -> list[str]:
        values = [None if item is None else getattr(item, name) for item in items]
        return [title, label, *(DASH if value is None else p_text(value) for value in values)]

    return [
        shown(title, label, [found.get((label, stratum)) for stratum in strata], name)
        for title, name in (("McNemar p", "p_half"), ("McNemar p, chosen threshold", "p_chosen"))
        for label in labels
    ]
