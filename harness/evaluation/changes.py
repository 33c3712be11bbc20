"""Changes of a model between two runs, and their significance.

Two runs of one comparison test the same images in the same cells, so everything is paired. A difference has two
sources of chance: which patients there are, and how training happened to go. Both are clusters - images of an
group share the first, images of a cell (stratum, fold, seed) the second - so the variance is the two-way
clustered one (Cameron, Gelbach & Miller, J Bus Econ Stat 2011), with Student's t on the fewer of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from harness.evaluation.metrics import class_columns
from harness.evaluation.significance import holm

Verdict = Literal["better", "same", "worse", "cannot tell"]
CELL = ["stratum", "fold", "seed"]
_LEVEL, _ALPHA = 0.95, 0.05
_MANY = 1e6


@dataclass(frozen=True)
class Change:
    """New minus base: positive is better.

    Attributes:
        value: In the quantity's own unit.
        standard_error: 0 where both runs agree in everything; None where it cannot be told.
        freedom: Degrees of freedom of Student's t; 0 where the standard error cannot be told.
    """

    value: float
    standard_error: float | None
    freedom: float

    def interval(self, level: float = _LEVEL) -> tuple[float, float]:
        """Bounds of the two-sided interval; infinite where the standard error cannot be told."""
        if self.standard_error is None:
            return -np.inf, np.inf
        quantile = scipy.special.stdtrit(self.freedom, (1 + level) / 2)
        reach = quantile * self.standard_error if self.standard_error else 0.0
        return self.value - reach, self.value + reach

    def p_worse(self) -> float:
        """One-sided p-value of "not worse", 0 to 1."""
        return float(scipy.special.stdtr(self.freedom, self._distance())) if self.testable else 1.0

    def p_better(self) -> float:
        """One-sided p-value of "not better", 0 to 1."""
        return float(scipy.special.stdtr(self.freedom, -self._distance())) if self.testable else 1.0

    @property
    def testable(self) -> bool:
        """True where something changed and the size of chance is known."""
        return self.standard_error is not None and bool(self.standard_error or self.value)

    def _distance(self) -> float:
        return self.value / self.standard_error if self.standard_error else float(np.copysign(np.inf, self.value))


UNCHANGED = Change(0.0, 0.0, 1)


def accuracy_change(paired: pd.DataFrame) -> Change:
    """Compare balanced accuracy.

    Not P_img: on BreakHis a network that calls everything malignant still has a P_img of 69 %, so what a network has
    learned is diluted in it.

    Args:
        paired: From :func:`pair_images`.
    """
    right = paired["label"]
    gained = (paired["predicted_new"] == right).astype(float) - (paired["predicted"] == right).astype(float)
    return _paired_mean(gained, paired)


def confidence_change(paired: pd.DataFrame) -> Change:
    """Compare the probability of the right class, averaged over images and then over the classes.

    It needs no threshold, so it scatters less from one training to the next than accuracy does, and shows damage to
    training that accuracy does not show yet.

    Args:
        paired: From :func:`pair_images`.
    """
    return _paired_mean(right_class(paired, "_new") - right_class(paired), paired)


def right_class(predictions: pd.DataFrame, suffix: str = "") -> pd.Series[float]:
    """Return the probability that each image's own class was given, from the columns with a suffix."""
    columns = [f"{column}{suffix}" for column in class_columns(predictions)]
    own = predictions[columns].to_numpy(float)[np.arange(len(predictions)), predictions["label"].to_numpy(int)]
    return pd.Series(own, predictions.index)


def pair_images(base: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Put the predictions of two runs side by side.

    Args:
        base: Test predictions of one model: ``image group stratum fold seed label predicted p_0 p_1 ...``.
        new: Likewise; images and cells that only one of them has are left out.

    Returns:
        ``base`` with ``predicted_new`` and ``p_0_new p_1_new ...``.
    """
    keys = ["image", *CELL]
    columns = [*keys, "predicted", *class_columns(base)]
    return base.merge(new[columns], on=keys, suffixes=("", "_new"), validate="one_to_one")


def common_images(one: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two prediction tables without the images and cells that only one of them has."""
    keys = ["image", *CELL]
    if len(one) == len(other) and all(_are_equal(one[key], other[key]) for key in keys):
        return one, other
    both = one[keys].merge(other[keys])
    return one.merge(both), other.merge(both)


def _are_equal(one: pd.Series[Any], other: pd.Series[Any]) -> bool:
    kinds = (one.dtype, other.dtype)
    if isinstance(kinds[0], pd.CategoricalDtype) and kinds[0] == kinds[1]:
        one, other = one.cat.codes, other.cat.codes
    return bool((one.to_numpy() == other.to_numpy()).all())


def _paired_mean(gained: pd.Series[float], paired: pd.DataFrame) -> Change:
    clusters = paired["group"].factorize()[0], paired.groupby(CELL).ngroup().to_numpy()
    return clustered_mean(gained.to_numpy(float), paired["label"].to_numpy(), clusters)


def clustered_mean(
    values: NDArray[np.float64], label: NDArray[np.int64], clusters: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> Change:
    """Return the mean of the classes' means with its two-way clustered standard error.

    Args:
        values: One an image, (N,).
        label: The class of each, as numbers from 0.
        clusters: The group and the cell of each, as numbers from 0.
    """
    patient, cell = clusters
    images = np.bincount(label)
    present = np.count_nonzero(images)
    means = np.bincount(label, values) / np.maximum(images, 1)
    value = float(means.sum() / present)
    patients, cells = int(patient.max()) + 1, int(cell.max()) + 1
    if not values.any():
        return UNCHANGED
    if min(patients, cells) < 2:
        return Change(value, None, 0)
    pull = (values - means[label]) / (images[label] * present)
    of_patients, of_cells = _between(pull, patient), _between(pull, cell)
    of_both = _between(pull, patient * cells + cell)
    # the sum can fall below its parts by chance; chance must not make a difference surer than either part says
    variance = max(of_patients + of_cells - of_both, of_patients, of_cells)
    return Change(value, float(np.sqrt(variance)), min(patients, cells) - 1)


def cost_change(base: Sequence[float], new: Sequence[float], timing_variance: float = 0.0) -> Change:
    """Compare costs summed over cells, as the logarithm of base over new: 0.1 is about a tenth cheaper.

    Args:
        base: What each cell cost.
        new: What the same cells cost in the other run.
        timing_variance: Variance of the logarithm that all cells share, such as of speeds that are measured once a run.
    """
    costs = np.asarray([base, new], float)
    value = float(np.log(costs[0].sum() / costs[1].sum()))
    if (costs[0] == costs[1]).all():
        return UNCHANGED
    cells = costs.shape[1]
    if cells < 2:
        return Change(value, None, 0)
    shares = costs / costs.sum(1, keepdims=True)
    scatter = float(((shares[0] - shares[1]) ** 2).sum() * cells / (cells - 1))
    if scatter < 1e-18 and not timing_variance:
        return Change(value, None, 0)  # all cells changed alike, so nothing is known about chance
    variance = scatter + timing_variance
    # Satterthwaite's: the timing's share of the variance is known, the scatter's rests on so many cells
    freedom = (cells - 1) * (variance / scatter) ** 2 if scatter else np.inf
    return Change(value, float(np.sqrt(variance)), min(freedom, _MANY))


@dataclass(frozen=True)
class Judgement:
    """What a change amounts to.

    Attributes:
        verdict: One of :data:`Verdict`.
        p_value: One-sided, in the direction of the change, after Holm's correction; None where there is no test.
    """

    verdict: Verdict
    p_value: float | None


def judge(changes: Sequence[Change], margins: Sequence[float]) -> list[Judgement]:
    """Judge a whole family of changes.

    *Same* where the 90 % interval lies within the margin on both sides (two one-sided tests, Schuirmann 1987);
    otherwise *worse* or *better* where the one-sided test says so after Holm's correction over the family; otherwise
    nobody *can tell*. Changes that chance cannot have made or that cannot be tested do not count in the family (Tarone,
    Biometrics 1990).

    Args:
        changes: New minus base.
        margins: For each, the change that does not matter, in its unit.
    """
    tested = [place for place, change in enumerate(changes) if change.testable]
    worse = dict(zip(tested, holm([changes[place].p_worse() for place in tested]), strict=True))
    better = dict(zip(tested, holm([changes[place].p_better() for place in tested]), strict=True))
    return [
        _judge_one(change, margin, worse.get(place), better.get(place))
        for place, (change, margin) in enumerate(zip(changes, margins, strict=True))
    ]


def _judge_one(change: Change, margin: float, worse: float | None, better: float | None) -> Judgement:
    low, high = change.interval(1 - 2 * _ALPHA)
    p_value = worse if change.value < 0 else better
    if -margin < low and high < margin:
        return Judgement("same", p_value)
    if worse is not None and worse < _ALPHA:
        return Judgement("worse", p_value)
    return Judgement("better" if better is not None and better < _ALPHA else "cannot tell", p_value)


def _between(pull: NDArray[np.float64], cluster: NDArray[np.int64]) -> float:
    """The variance of a sum that clusters explain, with the usual correction for their number."""
    number = len(np.unique(cluster))
    return float((np.bincount(cluster, pull) ** 2).sum() * number / max(1, number - 1))
