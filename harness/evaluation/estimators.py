"""Metrics as functions of patient weights, for resampling by matrix products.

An estimator gives its number under weights, which say how often each group counts. With every weight 1 it is that
of :func:`harness.evaluation.metrics.measure_pooled`.

Shapes: A groups, D draws, U units (what is averaged in the end: seeds, or seeds and folds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from harness.evaluation.metrics import ECE_BINS, cases, class_columns, is_binary
from harness.evaluation.rank_estimators import Ranking, average_precision, pair_ranking
from harness.evaluation.weighted import Array, Estimator, mean_of_units
from harness.threads import lazy


def mean_of_ratios(*ratios: tuple[Array, Array]) -> Estimator:
    """Sums over sums, averaged over the ratios and then over units: accuracy, recalls, mean of patients.

    Args:
        ratios: Of each, what is summed above and below the line, float64 (U, A). A unit in which one of them has
            nothing below the line does not count.
    """

    def number(weights: Array) -> Array:
        above = np.stack([weights @ parts.T for parts, _ in ratios])
        below = np.stack([weights @ wholes.T for _, wholes in ratios])
        return mean_of_units(above, below)

    return number


def binned_gap(gaps: Array, images: Array) -> Estimator:
    """The expected calibration error: the mean over images of their bin's gap between confidence and frequency.

    Args:
        gaps: Sum of (probability - label) by unit, bin and group, float64 (U, bins, A).
        images: Images by unit and group, float64 (U, A).
    """
    return lambda weights: mean_of_units(np.abs(gaps @ weights.T).sum(1).T[None], (weights @ images.T)[None])


def estimators(predictions: pd.DataFrame, groups: pd.Index, *, cross_validated: bool) -> Mapping[str, Estimator]:
    """Return the estimator of every metric of a prediction table; each is made when it is asked for.

    Args:
        predictions: Test images of one model: ``image group subgroup subtype label predicted p_1 fold seed``.
        groups: What the columns of weights stand for; holds every group of ``predictions``.
        cross_validated: Pool the folds of a seed, as :func:`~harness.evaluation.metrics.measure_pooled` does.
    """
    return _Estimators(predictions, groups, ["seed"] if cross_validated else ["seed", "fold"])


class _Estimators(Mapping[str, Estimator]):
    """The estimators of a prediction table, by metric."""

    def __init__(self, predictions: pd.DataFrame, groups: pd.Index, unit: list[str]) -> None:
        self._predictions = predictions
        self._sums = _Sums(predictions, groups, unit)
        self._by_fold = _Sums(predictions, groups, ["seed", "fold"])
        self._right = (predictions["predicted"] == predictions["label"]).to_numpy(float)
        self._labels = predictions["label"].to_numpy()
        self._columns = class_columns(predictions)

    def __getitem__(self, metric: str) -> Estimator:
        return self._makers[metric]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    @lazy
    def _makers(self) -> dict[str, Callable[[], Estimator]]:
        sums, by_fold, right, table = self._sums, self._by_fold, self._right, self._predictions
        classes = range(max(2, len(self._columns)))
        of_any_number = {
            "p_img": lambda: mean_of_ratios((sums.of(right), sums.of(np.ones_like(right)))),
            "p_arp_subgroup": lambda: sums.patient_mean(right, cases(table)),
            "p_arp_group": lambda: sums.patient_mean(right, table["group"]),
            "balanced_accuracy": lambda: mean_of_ratios(*map(self._recall, classes)),
            "auc": lambda: by_fold.ranking(table),
            "brier": self._brier,
        }
        of_two = {
            "auprc": lambda: by_fold.precision(table),
            "sensitivity": lambda: mean_of_ratios(self._recall(1)),
            "specificity": lambda: mean_of_ratios(self._recall(0)),
            "ece": lambda: sums.calibration(table),
        }
        return of_any_number | of_two if len(classes) == 2 else of_any_number

    def _recall(self, label: int) -> tuple[Array, Array]:
        of_class = (self._labels == label).astype(float)
        return self._sums.of(self._right * of_class), self._sums.of(of_class)

    def _brier(self) -> Estimator:
        if len(self._columns) <= 2:
            squares = (self._predictions["p_1"].to_numpy(float) - self._labels) ** 2
        else:
            right = self._labels[:, None] == np.arange(len(self._columns))
            squares = ((self._predictions[self._columns].to_numpy(float) - right) ** 2).sum(1) / 2
        return mean_of_ratios((self._sums.of(squares), self._sums.of(np.ones_like(squares))))


class _Sums:
    """Adds up what images say, by unit and group."""

    def __init__(self, predictions: pd.DataFrame, groups: pd.Index, unit: list[str]) -> None:
        self._unit = predictions.groupby(unit).ngroup().to_numpy()
        self._column = groups.get_indexer(pd.Index(predictions["group"]))
        if (self._column < 0).any():
            raise ValueError("a group of the predictions is not among the groups")
        self._shape = (int(self._unit.max()) + 1, len(groups))
        self._rankings: dict[int, Ranking] = {}

    def of(self, amounts: Array) -> Array:
        """Sum of an amount an image: (U, A)."""
        place = self._unit * self._shape[1] + self._column
        total: Array = np.bincount(place, amounts, self._shape[0] * self._shape[1]).astype(float)
        return total.reshape(self._shape)

    def patient_mean(self, right: Array, patient: pd.Series[str]) -> Estimator:
        """The mean of patients' own shares, whatever a patient is; a patient belongs to one group."""
        keys = pd.DataFrame(
            {"unit": self._unit, "column": self._column, "patient": pd.factorize(patient)[0], "right": right}
        )
        rates = keys.groupby(["unit", "column", "patient"], sort=False)["right"].mean().reset_index()
        parts, wholes = np.zeros(self._shape), np.zeros(self._shape)
        np.add.at(parts, (rates["unit"], rates["column"]), rates["right"])
        np.add.at(wholes, (rates["unit"], rates["column"]), 1.0)
        return mean_of_ratios((parts, wholes))

    def ranking(self, predictions: pd.DataFrame) -> Estimator:
        """Pairs in order: of the positive class of two, otherwise of each class against the others."""
        columns = class_columns(predictions)
        of = [(1, "p_1")] if is_binary(predictions) else list(enumerate(columns))
        return pair_ranking(*(self._ranked(predictions, label, column) for label, column in of))

    def precision(self, predictions: pd.DataFrame) -> Estimator:
        """Images in the order of their scores."""
        return average_precision(self._ranked(predictions, 1, "p_1"))

    def calibration(self, predictions: pd.DataFrame) -> Estimator:
        """Gaps by bin."""
        scores, labels = predictions["p_1"].to_numpy(float), predictions["label"].to_numpy(float)
        bins = np.minimum((scores * ECE_BINS).astype(int), ECE_BINS - 1)
        gaps = np.stack([self.of((scores - labels) * (bins == place)) for place in range(ECE_BINS)], axis=1)
        return binned_gap(gaps, self.of(np.ones_like(scores)))

    def _ranked(self, predictions: pd.DataFrame, label: int, column: str) -> Ranking:
        if label not in self._rankings:
            scores, positive = predictions[column].to_numpy(float), predictions["label"].to_numpy() == label
            self._rankings[label] = Ranking.of(scores, positive, self._column, self._unit)
        return self._rankings[label]
