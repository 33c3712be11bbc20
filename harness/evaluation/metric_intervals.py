"""Metrics of a prediction table under every draw of its patients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from harness.evaluation.bootstrap import Interval, Patients, interval_of
from harness.evaluation.estimators import estimators
from harness.evaluation.weighted import Array, Estimator
from harness.threads import one_thread_each


class Resampled:
    """Metrics of one model's test images; each is computed when it is first asked for, and kept.

    Args:
        predictions: ``image group subgroup subtype label predicted p_0 p_1 ... fold seed``.
        patients: The groups that can be drawn, those of ``predictions`` among them, and their draws.
        cross_validated: Predictions are pooled over folds.

    Attributes:
        patients: As given.
        metrics: The metrics that so many classes have.
    """

    def __init__(self, predictions: pd.DataFrame, patients: Patients, *, cross_validated: bool) -> None:
        self.patients = patients
        self._estimators: Mapping[str, Estimator] = estimators(
            predictions, patients.groups, cross_validated=cross_validated
        )
        self.metrics = list(self._estimators)
        self._known: dict[str, tuple[float, Array]] = {}

    def interval(self, metric: str, smallest: int | None = None) -> Interval:
        """Return a metric with its interval; for ``smallest`` see :func:`~harness.evaluation.bootstrap.interval_of`."""
        value, draws = self._values(metric)
        return interval_of(value, draws, self._smallest(smallest))

    def minus(self, other: Resampled, metric: str, smallest: int | None = None) -> Interval:
        """Return the difference to another model of the same patients in a metric: the same draws on both sides."""
        (value, draws), (their_value, their_draws) = self._values(metric), other._values(metric)
        return interval_of(value - their_value, draws - their_draws, self._smallest(smallest))

    def share_above(self, other: Resampled, metric: str) -> float | None:
        """Return in which share of the draws a metric is higher than another model's, equal ones counted half.

        It speaks of other patients and of no other training; None where no draw gives the metric.
        """
        (_, draws), (_, theirs) = self._values(metric), other._values(metric)
        gaps = (draws - theirs)[np.isfinite(draws - theirs)]
        return float(((np.sign(gaps) + 1) / 2).mean()) if len(gaps) else None

    def _smallest(self, given: int | None) -> int:
        return self.patients.smallest_class if given is None else given

    def _values(self, metric: str) -> tuple[float, Array]:
        """Return the metric of all patients, and under each draw (D,)."""
        if metric not in self._known:
            estimator, weights = self._estimators[metric], self.patients.weights
            with one_thread_each():
                self._known[metric] = float(estimator(np.ones((1, weights.shape[1])))[0]), estimator(weights)
            if len(self._known) == len(self.metrics):
                self._estimators = {}  # they hold every image, and there is nothing left to compute
        return self._known[metric]
