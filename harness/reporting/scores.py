"""Metrics with confidence intervals, by model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.evaluation.bootstrap import Interval, Patients, draw_patients
from harness.evaluation.metric_intervals import Resampled
from harness.evaluation.metric_names import METRIC_NAMES
from harness.evaluation.significance import patient_decisions
from harness.evaluation.threshold import DEFAULT_THRESHOLD, chosen_thresholds, decided_at
from harness.protocol.names import TEST, VALIDATION
from harness.reporting.results import Results
from harness.threads import lazy, map_in_threads

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
        predictions: Of the whole run.
        places: Its rows in them.
        thresholds: Chosen on validation, by cell; None where there is no validation.
        cross_validated: Predictions are pooled over folds.
    """

    label: str
    stratum: str
    patients: Patients
    predictions: pd.DataFrame
    places: NDArray[np.integer]
    thresholds: pd.Series[float] | None
    cross_validated: bool

    @property
    def rows(self) -> pd.DataFrame:
        """Its predictions, decided at 0.5; made when asked for, since all models' take much memory."""
        return self.predictions.iloc[self.places]

    @property
    def at_half(self) -> pd.DataFrame:
        """Its predictions, decided at 0.5, with ``threshold``."""
        return self.rows.assign(threshold=DEFAULT_THRESHOLD)

    @property
    def at_chosen(self) -> pd.DataFrame | None:
        """The same, decided at the chosen thresholds."""
        return None if self.thresholds is None else decided_at(self.rows, self.thresholds)

    @lazy
    def resampled(self) -> Resampled:
        """The metrics at 0.5."""
        return Resampled(self.at_half, self.patients, cross_validated=self.cross_validated)

    @lazy
    def decisions_at_half(self) -> pd.Series[bool]:
        """Which groups are judged rightly at 0.5."""
        return patient_decisions(self.at_half)

    @lazy
    def decisions_at_chosen(self) -> pd.Series[bool] | None:
        """The same at the chosen thresholds; None where there are none."""
        return None if (chosen := self.at_chosen) is None else patient_decisions(chosen)

    def intervals(self) -> Iterator[tuple[str, Interval]]:
        """Yield every metric with its interval."""
        yield from (
            (metric, self.resampled.interval(metric)) for metric in METRIC_NAMES if metric in self.resampled.metrics
        )
        if (chosen := self.at_chosen) is None:
            return
        at_chosen = Resampled(chosen, self.patients, cross_validated=self.cross_validated)
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
    predictions = results.predictions
    for stratum in results.strata:
        places = np.flatnonzero((predictions["stratum"] == stratum) & (predictions["side"] == TEST)).astype(np.int32)
        models = predictions["model"].iloc[places]
        by_model = models.groupby(models, observed=True).indices
        thresholds = _thresholds(results, stratum)
        patients = draw_patients(predictions[["group", "label"]].iloc[places])
        found[stratum] = {
            label: Tested(
                label,
                stratum,
                # fewer than the stratum's where folds are missing
                patients.only(predictions["group"].iloc[places[by_model[label]]].unique()),
                predictions,
                places[by_model[label]],
                thresholds.get(label),
                results.cross_validated,
            )
            for label in sorted(by_model)
        }
    return found


def _thresholds(results: Results, stratum: str) -> dict[str, pd.Series[float]]:
    """Choose the thresholds of a stratum's cells, by model."""
    predictions = results.predictions
    here = (predictions["stratum"] == stratum) & (predictions["side"] == VALIDATION)
    scored = {record.model for record in results.cells.values() if record.scored}
    validation = predictions.loc[here & ~predictions["model"].isin(scored)]
    if not (results.data_set.is_binary and len(validation)):
        return {}
    chosen = chosen_thresholds(validation)
    return {str(label): own for label, own in chosen.groupby(level="model", observed=True)}


def scores(tested: dict[str, dict[str, Tested]]) -> dict[tuple[str, str, str], Score]:
    """Compute every metric with its interval, by (metric, model, stratum)."""
    models = [model for of_stratum in tested.values() for model in of_stratum.values()]
    found = map_in_threads(lambda model: list(model.intervals()), models)
    return {
        (metric, model.label, model.stratum): _score(metric, interval, model)
        for model, intervals in zip(models, found, strict=True)
        for metric, interval in intervals
    }


def _score(metric: str, interval: Interval, model: Tested) -> Score:
    value, low, high = (
        None if math.isnan(number) else number for number in (interval.value, interval.low, interval.high)
    )
    if metric == _NO_INTERVAL:
        low = high = None
    return Score(metric, model.label, model.stratum, value, low, high)
