"""Significance tests of the difference between two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from harness.evaluation.metrics import class_columns, is_binary


@dataclass(frozen=True)
class PairedTest:
    """A test of one model against another.

    Attributes:
        statistic: t, or the number of discordant patients in favour of the first model.
        freedom: Degrees of freedom of t, or the number of all discordant patients.
        p_value: Two-sided, 0 to 1.
    """

    statistic: float
    freedom: int
    p_value: float


def corrected_t_test(differences: Sequence[float], test_per_train: float) -> PairedTest | None:
    """Corrected resampled t-test over folds (Nadeau & Bengio, Machine Learning 2003).

    Folds share training images, so their differences are not independent: the standard error of the mean is multiplied
    by sqrt(1 + k n_test / n_train).

    Args:
        differences: One a fold (and seed), of the same folds for both models.
        test_per_train: n_test / n_train at the sizes at hand.

    Returns:
        None for fewer than two folds, or where all differ by the same: their scatter is then unknown.
    """
    values = np.asarray(differences, float)
    folds = len(values)
    if folds < 2:
        return None
    if np.ptp(values) < 1e-12:
        return None if values[0] else PairedTest(0.0, folds - 1, 1.0)
    error = np.sqrt((1 / folds + test_per_train) * values.var(ddof=1))
    statistic = float(values.mean() / error)
    return PairedTest(statistic, folds - 1, float(2 * scipy.special.stdtr(folds - 1, -abs(statistic))))


def patient_decisions(predictions: pd.DataFrame) -> pd.Series[bool]:
    """Say which groups are judged rightly, by their mean probabilities; groups of several classes are left out.

    Args:
        predictions: Test images of one model: ``group label p_0 p_1 ...``, of two classes also ``threshold``. Of two
            classes the mean distance to each cell's own threshold counts, over folds and seeds; of more the class of
            the highest mean probability.

    Returns:
        By group, sorted.
    """
    by_group = predictions.groupby("group", observed=True)
    labels = by_group["label"].agg(["min", "max"])
    columns = class_columns(predictions)
    if is_binary(predictions):
        distance = (predictions["p_1"] - predictions["threshold"]).groupby(predictions["group"], observed=True).mean()
        judged = (distance >= 0).astype(int)
    else:
        means = by_group[columns].mean()
        judged = pd.Series(means.to_numpy().argmax(1), means.index)
    right: pd.Series[bool] = (judged == labels["max"])[labels["min"] == labels["max"]]
    return right.set_axis(right.index.astype("str"))  # of categories, texts: another model's may be others


def mcnemar_test(one: pd.Series[bool], other: pd.Series[bool]) -> PairedTest:
    """Exact McNemar test on the same patients: are those that only one model judges rightly spread evenly?

    Args:
        one: Who the first model judges rightly, by group.
        other: The same of the second model.
    """
    both = pd.concat([one, other], axis=1, keys=["one", "other"]).dropna().astype(bool)
    for_one, for_other = int((both["one"] & ~both["other"]).sum()), int((~both["one"] & both["other"]).sum())
    discordant = for_one + for_other
    # scipy.stats has binomtest, and takes a second to import; of an even binomial both tails are alike
    tail = float(scipy.special.bdtr(min(for_one, for_other), discordant, 0.5))
    return PairedTest(float(for_one), discordant, min(1.0, 2 * tail))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of a family (Holm 1979): below 0.05 still holds for the whole family."""
    # statsmodels' multipletests collects garbage at every call, which takes longer than everything else here
    values = np.asarray(p_values, float)
    order = np.argsort(values)
    steps = np.minimum(values[order] * np.arange(len(values), 0, -1), 1.0)
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(steps)
    return [float(value) for value in adjusted]
