"""Bootstrap confidence intervals with the patient as the unit.

Groups are resampled within each class. Everything that a draw needs of a group are a few sums, so a draw is a
vector of weights (how often each group was drawn), and all draws of a metric are matrix products. The same draws
serve every model of a table, which makes their differences paired.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from harness.evaluation.weighted import Array, Estimator

DRAWS = 2000
FEWEST_PATIENTS = 5
"""Groups of a class below which the tails are moved out to the extreme draws, which say nothing."""
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
    """The groups of a table and their draws.

    Attributes:
        groups: Sorted, (G,).
        classes: Which classes each has images of, bool (G, C).
        weights: How often each draw holds each group, float64 (draws, G).
    """

    groups: pd.Index
    classes: NDArray[np.bool_]
    weights: Array

    @property
    def smallest_class(self) -> int:
        """How many groups the smallest class has."""
        counts = self.classes.sum(0)
        return int(counts[counts > 0].min())

    def only(self, groups: Iterable[str]) -> Patients:
        """Return some of them, drawn as often as before."""
        kept = self.groups.isin(list(groups))
        if kept.all():
            return self  # one copy of the draws for all models
        return Patients(self.groups[kept], self.classes[kept], self.weights[:, kept])


def draw_patients(images: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> Patients:
    """Resample the groups of some images within their class.

    Where a group has images of several classes, all groups are resampled together: there is no class within which it
    could be drawn.

    Args:
        images: One row an image: ``group label``.
        draws: How many; at least 2,000 for a table.
        seed: Another seed gives other draws.
    """
    found = pd.crosstab(images["group"], images["label"]) > 0
    classes = found.to_numpy()
    strata = classes.argmax(1) if (classes.sum(1) == 1).all() else np.zeros(len(classes), int)
    random, weights = np.random.default_rng(seed), np.zeros((draws, len(classes)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), draws)
    return Patients(found.index.astype("str"), classes, weights)


def bootstrap_interval(estimator: Estimator, patients: Patients) -> Interval:
    """Return an estimator's value with its interval; see :func:`interval_of`."""
    value = float(estimator(np.ones((1, len(patients.groups))))[0])
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
    reach = np.sqrt(smallest / (smallest - 1)) * scipy.special.stdtrit(smallest - 1, (1 + _LEVEL) / 2)
    return float(scipy.special.ndtr(-reach)), float(scipy.special.ndtr(reach))
