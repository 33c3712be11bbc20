"""TRIPOD+AI and CLAIM, filled as far as a run can."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

from harness.data.description import DataSetDescription, plural
from harness.evaluation.metric_names import METRIC_NAMES
from harness.reporting.analysis import Analysis
from harness.reporting.report.leakage import divided_groups, tested_groups
from harness.reporting.report.making import facts, provenance
from harness.reporting.results import Results, resampled_within

TRIPOD, CLAIM = "TRIPOD+AI", "CLAIM 2024"


@dataclass(frozen=True)
class Item:
    """An item of a guideline.

    Attributes:
        guideline: TRIPOD+AI (Collins et al., BMJ 2024) or CLAIM (Tejani et al., Radiol Artif Intell 2024).
        number: Of the item.
        topic: In short.
        answer: What the run says to it; None where only the authors can.
    """

    guideline: str
    number: str
    topic: str
    answer: str | None


def checklist(analysis: Analysis) -> list[Item]:
    """Return every item in order."""
    answers = _answers(analysis)
    table = resources.files(__package__).joinpath("checklists.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines(), delimiter="\t")
    return [
        Item(row["guideline"], row["item"], row["topic"], answers.get((row["guideline"], row["item"]))) for row in rows
    ]


def _answers(analysis: Analysis) -> dict[tuple[str, str], str]:
    results = analysis.results
    known = dict(facts(results))
    partition, disjoint, training = _partition(results), _disjoint(results), _training(results)
    preparation, software = _preparation(results), f"{known['versions']}; {known['device']}"
    data_set, groups = results.data_set, results.groups
    given = {metric for metric, _, _ in analysis.scores}
    metrics = ", ".join(results.title(metric) for metric in METRIC_NAMES if metric in given)
    uncertainty = (
        f"Intervals: expanded percentile bootstrap (Hesterberg 2015), {groups} resampled {resampled_within(results)}, "
        "2,000 draws; differences: corrected resampled t-test over "
        f"folds, adjusted by Holm; McNemar's test on {groups}."
    )
    absent = f"Not recorded in {data_set.name}."
    kinds = plural(data_set.subtype) if data_set.subtype else "classes"
    levels = ", ".join(f"by {word}" for word in (*data_set.groups, data_set.subtype or "class"))
    clusters = f"{levels.capitalize()}: the charts of {groups} and of {kinds}, and their tables."
    numbers, code = _numbers(results), f"breakhis-harness {results.run.versions.get('breakhis-harness', '')}".strip()
    outputs = _outputs(data_set)
    here = "Of models that were trained here: " if any(map(results.is_scored, results.labels)) else ""
    tripod = {
        "7": preparation,
        "12a": f"{partition} {disjoint}",
        "12c": f"{here}{training}" if training else "",
        "12d": f"The unit of every interval is the {data_set.group}; P_arp is a mean over "
        f"{' or '.join(map(plural, reversed(data_set.groups))) or 'images'}.",
        "12e": f"{metrics}; ROC, calibration, confusion by {data_set.subtype or 'class'}. {uncertainty}",
        "12g": f"{here}by each cell's kept weights on its test images. All of them are kept (predictions.parquet).",
        "15": outputs,
        "18f": code,
        "20a": numbers,
        "20b": "" if results.generated else absent,
        "21": numbers,
        "22": f"{here}options, weights and their sources are stored with every cell (cell.json, model files).",
        "23a": "Table 3 and 'Further metrics', with 95 % intervals.",
        "23b": clusters,
    }
    claim = {
        "9": preparation,
        "19": partition,
        "20": disjoint,
        "23": software,
        "24": "; ".join(f"{label}: {words}" for label, words in provenance(results)),
        "25": f"{here}{training}" if training else "",
        "26": "The epoch of the best balanced accuracy on validation; ties by lower loss, then the earlier.",
        "28": metrics,
        "29": uncertainty,
        "30": _robustness(analysis),
        "35": numbers,
        "36": "" if results.generated else absent,
        "37": "Test: table 3 and 'Further metrics'; validation: the learning curves.",
        "38": "Table 3 and 'Further metrics', with 95 % intervals.",
        "39": f"The charts of {groups} and {kinds}; the most confidently wrong images.",
        "43": f"{code}, Apache-2.0; the run folder holds divisions, predictions and models.",
    }
    return {
        **{(TRIPOD, number): answer for number, answer in tripod.items() if answer},
        **{(CLAIM, number): answer for number, answer in claim.items() if answer},
    }


def _outputs(data_set: DataSetDescription) -> str:
    """Say what a model puts out, and how a class is called."""
    if not data_set.is_binary:
        return f"Probabilities of {', '.join(data_set.classes)}; the class of the highest one is called."
    return (
        f"Probability of {data_set.positive}; called {data_set.positive} from 0.5 on, and at the threshold of the best "
        "balanced accuracy on validation (table 'Chosen thresholds and calibration')."
    )


def _partition(results: Results) -> str:
    run = results.run
    return (
        f"{run.protocol.title}; {len(run.comparison.folds)} folds, seeds {', '.join(map(str, run.config.seeds))}; "
        f"{dict(facts(results))['sides']}."
    )


def _disjoint(results: Results) -> str:
    both, word = divided_groups(results), results.data_set.group
    return (
        f"Disjoint by {word}: {'yes, in every division' if not both else f'no, {both} {results.groups} are divided'}."
    )


def _training(results: Results) -> str:
    schedule = results.run.config.schedule
    if all(results.is_scored(label) for label in results.labels):
        return ""
    return (
        f"{schedule.epochs} epochs, batch {schedule.batch_size}, rate {schedule.learning_rate:g} "
        f"({schedule.decay}), momentum {schedule.momentum:g}, weight decay {schedule.weight_decay:g}, augmentation "
        f"{schedule.augmentation}; options of each model under 'Where weights come from'."
    )


def _preparation(results: Results) -> str:
    pixels = results.run.config.pixels
    states = results.manifest["state"].value_counts()
    left_out = ", ".join(f"{number} {state}" for state, number in states.items() if state != "used")
    return (
        f"{pixels.size} x {pixels.size} pixels ({pixels.resize}), colour normalisation {pixels.stain}; left out: "
        f"{left_out or 'none'}."
    )


def _numbers(results: Results) -> str:
    images = results.test.drop_duplicates("image")
    parts = [
        f"{len(own)} images of {own['group'].nunique()} {results.groups} {results.classes[int(label)]}"
        for label, own in images.groupby("label")
    ]
    return f"Tested: {tested_groups(results)} {results.groups}; {'; '.join(parts)}."


def _robustness(analysis: Analysis) -> str:
    if not analysis.shortcuts:
        return ""
    named = ", ".join(dict.fromkeys(analysis.shortcuts.values()))
    return f"Every model is held against models that see one property of the picture ({named}): table 'shortcuts'."
