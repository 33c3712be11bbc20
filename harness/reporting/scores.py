"""Metrics with confidence intervals, by model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from harness.evaluation.bootstrap import Interval, Patients, draw_patients
from harness.evaluation.metric_intervals import Resampled
from harness.evaluation.metric_names import METRIC_NAMES
from harness.evaluation.significance import patient_decisions
from harness.evaluation.threshold import DEFAULT_THRESHOLD, with_chosen_thresholds
from harness.protocol.names import TEST, VALIDATION
from harness.reporting.results import Results

CHOSEN = "_chosen"
"""Marks the metrics at the threshold that was chosen on validation."""

_NO_INTERVAL = "ece"
"""Resampling makes gaps between confidence and frequency where there are none, so its draws lie above the value."""

AT_CHOSEN = ("p_img", "balanced_accuracy", "sensitivity", "specificity")
"""The metrics that a threshold decides."""


@dataclass(frozen=True)
class Tested:
    """One model's test images at one stratum.

    Attributes:
        label: The model.
        stratum: The column of a table, such as ``200x``.
        patients: Who was tested, and their draws: the same for all models of the stratum.
        at_half: Its predictions, decided at 0.5, with ``threshold``.
        at_chosen: The same, decided at the thresholds chosen on validation; None where there is no validation.
        cross_validated: Predictions are pooled over folds.
    """

    label: str
    stratum: str
    patients: Patients
    at_half: pd.DataFrame
    at_chosen: pd.DataFrame | None
    cross_validated: bool

    @cached_property
    def resampled(self) -> Resampled:
        """The metrics at 0.5."""
        return Resampled(self.at_half, self.patients, cross_validated=self.cross_validated)

    @cached_property
    def decisions_at_half(self) -> pd.Series[bool]:
        """Which groups are judged rightly at 0.5."""
        return patient_decisions(self.at_half)

    @cached_property
    def decisions_at_chosen(self) -> pd.Series[bool] | None:
        """The same at the chosen thresholds; None where there are none."""
        return None if self.at_chosen is None else patient_decisions(self.at_chosen)

    def intervals(self) -> Iterator[tuple[str, Interval]]:
        """Yield every metric with its interval."""
        yield from (
            (metric, self.resampled.interval(metric)) for metric in METRIC_NAMES if metric in self.resampled.metrics
        )
        if self.at_chosen is None:
            return
        at_chosen = Resampled(self.at_chosen, self.patients, cross_validated=self.cross_validated)
        yield from ((f"{metric}{CHOSEN}", at_chosen.interval(metric)) for metric in AT_CHOSEN)


@dataclass(frozen=True)
class Score:
    """One number of table 3, as a fraction.

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

    def record(self) -> dict[str, Any]:
        """Return it for CSV and JSON."""
        return {
            "metric": self.metric,
            "model": self.label,
            "stratum": self.stratum,
            "value": self.value,
            "low": self.low,
            "high": self.high,
        }


def tested_models(results: Results) -> dict[str, dict[str, Tested]]:
    """Gather what was tested, by stratum and model."""
    found: dict[str, dict[str, Tested]] = {}
    scored = {record.model for record in results.cells.values() if record.scored}
    for stratum in results.strata:
        here = results.predictions[results.predictions["stratum"] == stratum]
        at_half, trained = here[here["side"] == TEST], here[~here["model"].isin(scored)]
        is_chosen = results.data_set.is_binary and len(trained)
        chosen = with_chosen_thresholds(trained, VALIDATION, TEST) if is_chosen else trained.iloc[:0]
        patients, by_model = draw_patients(at_half), dict(iter(chosen.groupby("model", observed=True)))
        found[stratum] = {
            str(label): Tested(
                str(label),
                stratum,
                patients.only(own["group"].unique()),  # fewer than the stratum's where folds are missing
                own.assign(threshold=DEFAULT_THRESHOLD),
                by_model.get(label),
                results.cross_validated,
            )
            for label, own in at_half.groupby("model", observed=True)
        }
    return found


def scores(tested: dict[str, dict[str, Tested]]) -> dict[tuple[str, str, str], Score]:
    """Compute every metric with its interval, by (metric, model, stratum)."""
    return {
        (metric, label, stratum): _score(metric, interval, model)
        for stratum, models in tested.items()
        for label, model in models.items()
        for metric, interval in model.intervals()
    }


def _score(metric: str, interval: Interval, model: Tested) -> Score:
    value, low, high = (
        None if math.isnan(number) else number for number in (interval.value, interval.low, interval.high)
    )
    if metric == _NO_INTERVAL:
        low = high = None
    return Score(metric, model.label, model.stratum, value, low, high)
