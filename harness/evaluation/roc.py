"""Receiver operating characteristic, averaged over folds, with a band over draws of patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.evaluation.bootstrap import Interval, Patients, interval_of
from harness.evaluation.metrics import is_binary
from harness.evaluation.weighted import Array

GRID: Array = np.linspace(0, 1, 101)
"""Shares of negative images called positive at which a curve is given."""

_DRAWS = 400  # a band is drawn a line wide; its ends need no more


@dataclass(frozen=True)
class RocCurve:
    """Sensitivity at every share of :data:`GRID`, and its 95 % interval point by point: float64 (101,) each."""

    sensitivity: Array
    low: Array
    high: Array


def roc_curve(predictions: pd.DataFrame, patients: Patients) -> RocCurve | None:
    """Average the curves of folds and seeds, each at the same shares of false alarms (Fawcett 2006).

    Args:
        predictions: Test images of one model: ``group label p_1 fold seed``.
        patients: Their groups and draws.

    Returns:
        None where no fold tests both classes, and for more than two classes.
    """
    if not is_binary(predictions):
        return None
    units = [own for _, own in predictions.groupby(["seed", "fold"]) if own["label"].nunique() == 2]
    if not units:
        return None
    everybody = np.ones((1, len(patients.groups)))
    value = _mean_curve(units, patients.groups, everybody)[0]
    drawn = _mean_curve(units, patients.groups, patients.weights[:_DRAWS])
    found = [_bounds(at, draws, patients) for at, draws in zip(value, drawn.T, strict=True)]
    return RocCurve(value, np.array([one.low for one in found]), np.array([one.high for one in found]))


def _bounds(value: float, draws: Array, patients: Patients) -> Interval:
    return interval_of(float(value), draws, patients.smallest_class)


def _mean_curve(units: list[pd.DataFrame], groups: pd.Index, weights: Array) -> Array:
    """Return the curve under each row of weights (D, A): (D, 101); NaN where a draw leaves no fold both classes."""
    curves = np.stack([_curves(own, groups, weights) for own in units])
    there = np.isfinite(curves).all(axis=2, keepdims=True)
    total = np.where(there, curves, 0).sum(axis=0)
    mean: Array = np.divide(total, there.sum(axis=0), out=np.full_like(total, np.nan), where=there.any(axis=0))
    return mean


def _curves(own: pd.DataFrame, groups: pd.Index, weights: Array) -> Array:
    """Return one fold's curve under each row of weights: (D, 101)."""
    ranked = own.sort_values("p_1", ascending=False, kind="stable")
    scores, labels = ranked["p_1"].to_numpy(float), ranked["label"].to_numpy(float)
    drawn = weights[:, groups.get_indexer(pd.Index(ranked["group"]))]
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True))  # images of one score come in together
    right, wrong = (_shares(drawn * of, last) for of in (labels, 1 - labels))
    return np.stack([_at_grid(false, true) for false, true in zip(wrong, right, strict=True)])


def _shares(amounts: Array, last: NDArray[np.int64]) -> Array:
    """Return how much of the whole has come in after each score, from nothing on: (D, scores + 1)."""
    total = amounts.sum(axis=1, keepdims=True)
    shares = np.divide(
        amounts.cumsum(axis=1)[:, last], total, out=np.full((len(amounts), len(last)), np.nan), where=total > 0
    )
    return np.concatenate([np.zeros((len(shares), 1)), shares], axis=1)


def _at_grid(false_alarms: Array, sensitivity: Array) -> Array:
    if not (np.isfinite(false_alarms).all() and np.isfinite(sensitivity).all()):
        return np.full_like(GRID, np.nan)
    return np.interp(GRID, false_alarms, sensitivity)
