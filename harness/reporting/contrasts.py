"""Each model against a reference model: paired differences, and which of them are more than noise."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.evaluation.estimators import difference
from harness.evaluation.resampling import resampled_interval
from harness.evaluation.significance import (
    PairedTest,
    corrected_t_test,
    holm,
    mcnemar_test,
    patient_decisions,
)
from harness.reporting.results import Results
from harness.reporting.scores import Tested

CONTRASTED = ("p_arp_slide", "p_img", "balanced_accuracy")
_SURE = 0.05


@dataclass(frozen=True)
class Contrast:
    """A model minus the reference in one metric at one magnification, as fractions.

    Attributes:
        metric: One of :data:`CONTRASTED`.
        label: The model.
        magnification: 40, 100, 200 or 400.
        value: The paired difference.
        low: Lower bound of its 95 % interval; None where there are too few patients.
        high: Upper bound likewise.
        p_t: Corrected resampled t-test over folds, adjusted over models and magnifications; None without folds.
        p_mcnemar: McNemar's test on accessions, adjusted likewise.
        p_mcnemar_chosen: The same at the chosen thresholds.
    """

    metric: str
    label: str
    magnification: int
    value: float
    low: float | None
    high: float | None
    p_t: float | None
    p_mcnemar: float
    p_mcnemar_chosen: float

    @property
    def sure(self) -> bool:
        """True where the difference is more than noise: by the t-test over folds, or without folds by McNemar's."""
        return (self.p_mcnemar if self.p_t is None else self.p_t) < _SURE

    def record(self, reference: str) -> dict[str, Any]:
        """Return it for CSV and JSON."""
        values = asdict(self)
        return {"quantity": "difference", "model": values.pop("label"), "reference": reference, **values}


def contrasts(results: Results, tested: dict[int, dict[str, Tested]]) -> list[Contrast]:
    """Compare every model with the reference, metric by metric; p-values are adjusted by Holm within a metric."""
    found: list[Contrast] = []
    for metric in CONTRASTED:
        raw = [
            _contrast(metric, magnification, models[label], models[results.reference], results)
            for magnification, models in tested.items()
            if results.reference in models
            for label in results.labels
            if label in models and label != results.reference
        ]
        found += _adjusted(raw)
    return found


def summarise(results: Results, against: list[Contrast]) -> list[str]:
    """Say in a plain sentence which differences can be told from noise, metric by metric."""
    metrics = dict.fromkeys(contrast.metric for contrast in against)
    return [_sentence(results.reference, metric, [c for c in against if c.metric == metric]) for metric in metrics]


def _sentence(reference: str, metric: str, found: list[Contrast]) -> str:
    name = {"p_arp_slide": "P_arp by slide", "p_img": "P_img", "balanced_accuracy": "Balanced accuracy"}[metric]
    sure = [contrast for contrast in found if contrast.sure]
    if not sure:
        return f"{name}: no difference from {reference} can be told from noise."
    told = ", ".join(
        f"{contrast.label} at {contrast.magnification}x ({100 * contrast.value:+.1f} points)" for contrast in sure
    )
    rest = "every difference" if len(sure) == len(found) else f"{len(sure)} of {len(found)} differences"
    return f"{name}: {rest} from {reference} can be told from noise: {told}."


def _contrast(metric: str, magnification: int, model: Tested, reference: Tested, results: Results) -> Contrast:
    interval = resampled_interval(difference(model.estimators[metric], reference.estimators[metric]), model.patients)
    low, high = (None if math.isnan(bound) else bound for bound in (interval.low, interval.high))
    over_folds = _over_folds(metric, magnification, model, reference, results)
    half, chosen = (
        mcnemar_test(patient_decisions(one), patient_decisions(other)).p_value
        for one, other in ((model.at_half, reference.at_half), (model.at_chosen, reference.at_chosen))
    )
    p_t = over_folds.p_value if over_folds else None
    return Contrast(metric, model.label, magnification, interval.value, low, high, p_t, half, chosen)


def _over_folds(
    metric: str, magnification: int, model: Tested, reference: Tested, results: Results
) -> PairedTest | None:
    """Test the folds' own differences; folds that only one of the two has finished do not count."""
    one, other = (results.fold_metrics(tested.label, magnification, metric) for tested in (model, reference))
    differences = (one - other).dropna()
    return corrected_t_test(list(differences), results.test_per_train(magnification))


def _adjusted(raw: list[Contrast]) -> list[Contrast]:
    tested = [contrast for contrast in raw if contrast.p_t is not None]
    p_t = dict(
        zip(map(id, tested), holm([contrast.p_t for contrast in tested if contrast.p_t is not None]), strict=True)
    )
    halves, chosen = (
        holm([contrast.p_mcnemar for contrast in raw]),
        holm([contrast.p_mcnemar_chosen for contrast in raw]),
    )
    return [
        replace(contrast, p_t=p_t.get(id(contrast)), p_mcnemar=half, p_mcnemar_chosen=choice)
        for contrast, half, choice in zip(raw, halves, chosen, strict=True)
    ]
