"""Bootstrap confidence intervals with the patient as the unit.

Accessions are resampled within each class. Everything that a draw needs of an accession are a few sums, so a draw is a
vector of weights (how often each accession was drawn), and all draws of a metric are matrix products. The same draws
serve every model of a table, which makes their differences paired.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm as normal
from scipy.stats import t as student

from harness.evaluation.estimators import Array, Estimator

DRAWS = 2000
FEWEST_PATIENTS = 5
"""Accessions of a class below which the tails are moved out to the extreme draws, which say nothing."""
_LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval, in the metric's own unit.

    Attributes:
        value: From all patients.
        low: Lower bound; NaN where a class has fewer than five patients.
        high: Upper bound.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Patients:
    """The accessions of a table and their draws.

    Attributes:
        accessions: Sorted, (A,).
        labels: The class of each, (A,).
        weights: How often each draw holds each accession, float64 (draws, A).
    """

    accessions: pd.Index
    labels: NDArray[np.int64]
    weights: Array

    @property
    def smallest_class(self) -> int:
        """How many accessions the smaller class has."""
        return int(np.unique(self.labels, return_counts=True)[1].min())

    def only(self, accessions: Iterable[str]) -> Patients:
        """Return some of them, drawn as often as before."""
        kept = self.accessions.isin(list(accessions))
        return Patients(self.accessions[kept], self.labels[kept], self.weights[:, kept])


def draw_patients(images: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> Patients:
    """Resample the accessions of some images within their class.

    Args:
        images: One row an image: ``accession label``.
        draws: How many; at least 2,000 for a table.
        seed: Another seed gives other draws.
    """
    labels = images.groupby("accession")["label"].max()
    random, weights = np.random.default_rng(seed), np.zeros((draws, len(labels)))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        weights[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), draws)
    return Patients(labels.index, labels.to_numpy(np.int64), weights)


def bootstrap_interval(estimator: Estimator, patients: Patients) -> Interval:
    """Return an estimator's value with its interval; see :func:`interval_of`."""
    value = float(estimator(np.ones((1, len(patients.accessions))))[0])
    return interval_of(value, estimator(patients.weights), patients.smallest_class)


def interval_of(value: float, draws: Array, smallest: int) -> Interval:
    """Return the expanded percentile interval (Hesterberg, American Statistician 2015).

    The plain percentile interval is too narrow where a class has a dozen patients: it knows neither Student's t nor
    the factor n / (n - 1) of a variance. Its tails are therefore moved out to
    Phi(-sqrt(n / (n - 1)) t(0.975; n - 1)), n being the patients of the smaller class. Of the methods tried it covers
    best over the metrics that were simulated (results/statistics/coverage.md).

    Args:
        value: From all patients.
        draws: Under each draw, (D,); NaN where there is none.
        smallest: n.
    """
    values = draws[np.isfinite(draws)]
    if smallest < FEWEST_PATIENTS or not len(values):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(values, _tails(smallest))
    return Interval(value, float(low), float(high))


@cache
def _tails(smallest: int) -> tuple[float, float]:
    """Return the levels of the two bounds among the draws."""
    reach = np.sqrt(smallest / (smallest - 1)) * student.ppf((1 + _LEVEL) / 2, smallest - 1)
    return float(normal.cdf(-reach)), float(normal.cdf(reach))
