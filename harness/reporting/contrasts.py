"""Paired differences of models to a reference model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from harness.evaluation.changes import common_images
from harness.evaluation.metric_intervals import Resampled
from harness.evaluation.significance import corrected_t_test, holm, mcnemar_test
from harness.reporting.results import Results
from harness.reporting.scores import Tested

CONTRASTED = ("p_arp_subgroup", "p_img", "balanced_accuracy", "auc")
_SURE = 0.05


@dataclass(frozen=True)
class Contrast:
    """A model minus the reference in one metric at one stratum, as fractions, on the images that both tested.

    Attributes:
        metric: One of :data:`CONTRASTED`.
        label: The model.
        stratum: The column of a table, such as ``200x``.
        value: The paired difference.
        low: Lower bound of its 95 % interval; None where there are too few patients.
        high: Upper bound likewise.
        p_t: Corrected resampled t-test over folds, adjusted over models and strata; None without folds.
    """

    metric: str
    label: str
    stratum: str
    value: float
    low: float | None
    high: float | None
    p_t: float | None

    @property
    def sure(self) -> bool:
        """True where the test over folds calls the difference more than noise."""
        return self.p_t is not None and self.p_t < _SURE

    def record(self, reference: str, quantity: str = "difference") -> dict[str, Any]:
        """Return it for CSV and JSON."""
        values = asdict(self)
        return {"quantity": quantity, "model": values.pop("label"), "reference": reference, **values}


@dataclass(frozen=True)
class Decisions:
    """McNemar's test of a model's and the reference's decisions on the same groups.

    Attributes:
        label: The model.
        stratum: The column of a table, such as ``200x``.
        p_half: Two-sided p at the threshold 0.5, adjusted over models and strata.
        p_chosen: The same at the thresholds chosen on validation; None where one of the two has none.
    """

    label: str
    stratum: str
    p_half: float
    p_chosen: float | None

    def record(self, reference: str) -> dict[str, Any]:
        """Return it for CSV and JSON."""
        values = asdict(self)
        return {"quantity": "McNemar", "model": values.pop("label"), "reference": reference, **values}


def contrasts(results: Results, tested: dict[str, dict[str, Tested]]) -> list[Contrast]:
    """Compare every model that is no shortcut with the reference; p-values are adjusted by Holm within a metric."""
    return adjusted_contrasts(results, _pairs(results, tested), CONTRASTED)


def adjusted_contrasts(
    results: Results, pairs: Iterable[tuple[Tested, Tested]], metrics: Iterable[str]
) -> list[Contrast]:
    """Compare the first of each pair with the second; p-values are adjusted by Holm over the pairs, within a metric."""
    metrics = tuple(metrics)
    found = [contrast for pair in pairs for contrast in _contrasts(*pair, results, metrics)]
    return [
        contrast
        for metric in metrics
        for contrast in _adjusted([contrast for contrast in found if contrast.metric == metric])
    ]


def decisions(results: Results, tested: dict[str, dict[str, Tested]]) -> list[Decisions]:
    """Test every model's decisions on groups against the reference's, at both thresholds."""
    pairs = _pairs(results, tested)
    halves = holm([_mcnemar(model.decisions_at_half, reference.decisions_at_half) for model, reference in pairs])
    chosen = iter(holm([_mcnemar(*both) for pair in pairs if (both := _chosen(*pair)) is not None]))
    return [
        Decisions(pair[0].label, pair[0].stratum, half, next(chosen) if _chosen(*pair) is not None else None)
        for pair, half in zip(pairs, halves, strict=True)
    ]


def summarise(results: Results, against: list[Contrast]) -> list[str]:
    """Say in a plain sentence which differences can be told from noise, metric by metric."""
    metrics = dict.fromkeys(contrast.metric for contrast in against)
    return [_sentence(results, metric, [c for c in against if c.metric == metric]) for metric in metrics]


def _sentence(results: Results, metric: str, found: list[Contrast]) -> str:
    name, reference = results.title(metric), results.reference
    sure = [contrast for contrast in found if contrast.sure]
    if all(contrast.p_t is None for contrast in found):
        return f"{name}: a single hold-out; no difference from {reference} can be tested over folds."
    if not sure:
        return f"{name}: no difference from {reference} can be told from noise."
    message = ", ".join(
        f"{contrast.label} at {contrast.stratum} ({100 * contrast.value:+.1f} points)" for contrast in sure
    )
    return f"{name}: {len(sure)} of {len(found)} differences from {reference} can be told from noise: {message}."


def _pairs(results: Results, tested: dict[str, dict[str, Tested]]) -> list[tuple[Tested, Tested]]:
    """Pair every model that is no shortcut with the reference, stratum by stratum.

    Shortcuts are what models are compared with elsewhere: one pair in two families of tests could be told from noise
    in the one and not in the other.
    """
    return [
        (models[label], models[results.reference])
        for models in tested.values()
        if results.reference in models
        for label in results.labels
        if label in models and label != results.reference and not results.is_shortcut(label)
    ]


def _chosen(model: Tested, reference: Tested) -> tuple[pd.Series[bool], pd.Series[bool]] | None:
    """Return the decisions of both at their chosen thresholds; None where one of them has none."""
    one, other = model.decisions_at_chosen, reference.decisions_at_chosen
    return None if one is None or other is None else (one, other)


def _mcnemar(one: pd.Series[bool], other: pd.Series[bool]) -> float:
    return mcnemar_test(one, other).p_value


def _contrasts(model: Tested, reference: Tested, results: Results, metrics: tuple[str, ...]) -> Iterator[Contrast]:
    """Compare on the images and cells that both have, in the metrics that these give."""
    pair = paired(model, reference)
    if pair is None:
        return
    ours, theirs = pair
    for metric in metrics:
        interval = ours.minus(theirs, metric)
        if not math.isnan(interval.value):
            low, high = (None if math.isnan(bound) else bound for bound in (interval.low, interval.high))
            p_t = _over_folds(metric, model, reference, results)
            yield Contrast(metric, model.label, model.stratum, interval.value, low, high, p_t)


def paired(model: Tested, other: Tested) -> tuple[Resampled, Resampled] | None:
    """Return the metrics of two models on the images and cells that both tested; None where there are none."""
    one, two = common_images(model.rows, other.rows)
    return None if one.empty else (_resampled(model, one), _resampled(other, two))


def _resampled(model: Tested, common: pd.DataFrame) -> Resampled:
    """Return a model's metrics on the images that another has as well: usually all, which are resampled already."""
    if len(common) == len(model.places):
        return model.resampled
    patients = model.patients.only(common["group"].unique())
    return Resampled(common, patients, cross_validated=model.cross_validated)


def _over_folds(metric: str, model: Tested, reference: Tested, results: Results) -> float | None:
    """Test the folds' own differences; folds that only one of the two has finished do not count."""
    one, other = (results.fold_metrics(tested.label, model.stratum, metric) for tested in (model, reference))
    both = one if [*one] == [*other] else sorted(one.keys() & other.keys())
    differences = [one[place] - other[place] for place in both]
    found = corrected_t_test(differences, results.test_per_train(model.stratum))
    return found.p_value if found else None


def _adjusted(raw: list[Contrast]) -> list[Contrast]:
    p_values = [contrast.p_t for contrast in raw if contrast.p_t is not None]
    adjusted = iter(holm(p_values))
    return [contrast if contrast.p_t is None else replace(contrast, p_t=next(adjusted)) for contrast in raw]
