"""Metrics with confidence intervals, by model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from harness.evaluation.bootstrap import Patients, bootstrap_interval, draw_patients
from harness.evaluation.estimators import Estimator, estimators
from harness.evaluation.threshold import DEFAULT_THRESHOLD, with_chosen_thresholds
from harness.protocol.names import TEST, VALIDATION
from harness.reporting.results import Results

CHOSEN = "_chosen"
"""Marks the metrics at the threshold that was chosen on validation."""

_NO_INTERVAL = "ece"
"""Resampling makes gaps between confidence and frequency where there are none, so its draws lie above the figure."""

AT_CHOSEN = ("p_img", "balanced_accuracy", "sensitivity", "specificity")
"""The metrics that a threshold decides."""


@dataclass(frozen=True)
class Tested:
    """One model's test images at one magnification.

    Attributes:
        label: The model.
        stratum: The column of a table, such as ``200x``.
        patients: Who was tested, and their draws: the same for all models of the magnification.
        at_half: Its predictions, decided at 0.5, with ``threshold``.
        at_chosen: The same, decided at the thresholds chosen on validation.
        cross_validated: Predictions are pooled over folds.
    """

    label: str
    stratum: str
    patients: Patients
    at_half: pd.DataFrame
    at_chosen: pd.DataFrame
    cross_validated: bool

    @cached_property
    def estimators(self) -> dict[str, Estimator]:
        """The estimator of every metric."""
        at_half, at_chosen = (
            estimators(table, self.patients.accessions, cross_validated=self.cross_validated)
            for table in (self.at_half, self.at_chosen)
        )
        return {**at_half, **{f"{name}{CHOSEN}": at_chosen[name] for name in AT_CHOSEN}}


@dataclass(frozen=True)
class Score:
    """One figure of table 3, as a fraction.

    Attributes:
        metric: As in cell.json, with ``_chosen`` at the end where the chosen threshold decided.
        label: The model.
        stratum: The column of a table, such as ``200x``.
        value: None where the images do not give it.
        low: Lower bound of the 95 % interval; None where there are too few patients.
        high: Upper bound likewise.
    """

    metric: str
    label: str
    stratum: str
    value: float | None
    low: float | None
    high: float | None


def tested_models(results: Results) -> dict[str, dict[str, Tested]]:
    """Gather what was tested, by magnification and model."""
    found: dict[str, dict[str, Tested]] = {}
    for stratum in results.strata:
        predictions = results.predictions[results.predictions["stratum"] == stratum]
        patients = draw_patients(predictions[predictions["side"] == TEST])
        found[stratum] = {
            str(label): Tested(
                str(label),
                stratum,
                # fewer than the magnification's where folds are missing
                patients.only(own.loc[own["side"] == TEST, "accession"].unique()),
                own[own["side"] == TEST].assign(threshold=DEFAULT_THRESHOLD),
                with_chosen_thresholds(own, VALIDATION, TEST),
                results.cross_validated,
            )
            for label, own in predictions.groupby("model")
        }
    return found


def scores(tested: dict[str, dict[str, Tested]]) -> dict[tuple[str, str, str], Score]:
    """Compute every metric with its interval, by (metric, model, magnification)."""
    return {
        (metric, label, stratum): _score(metric, estimator, model)
        for stratum, models in tested.items()
        for label, model in models.items()
        for metric, estimator in model.estimators.items()
    }


def _score(metric: str, estimator: Estimator, model: Tested) -> Score:
    interval = bootstrap_interval(estimator, model.patients)
    value, low, high = (
        None if math.isnan(figure) else figure for figure in (interval.value, interval.low, interval.high)
    )
    if metric == _NO_INTERVAL:
        low = high = None
    return Score(metric, model.label, model.stratum, value, low, high)
