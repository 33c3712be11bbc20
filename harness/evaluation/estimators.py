"""Metrics as functions of patient weights, for resampling by matrix products.

An estimator gives its number under weights, which say how often each group counts. With every weight 1 it is that
of :func:`harness.evaluation.metrics.measure_pooled`.

Shapes: A groups, D draws, U units (what is averaged in the end: seeds, or seeds and folds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.evaluation.metrics import ECE_BINS, cases, class_columns, is_binary

Array = NDArray[np.float64]
Estimator = Callable[[Array], Array]
"""From weights (D, A) to the number under each row (D,); NaN where a row leaves nothing to compute it from."""


_BLOCK = 200
_MANY_GROUPS = 300  # pairs of groups take more than images in order, in time and in memory


def mean_of_ratios(*ratios: tuple[Array, Array]) -> Estimator:
    """Sums over sums, averaged over the ratios and then over units: accuracy, recalls, mean of patients.

    Args:
        ratios: Of each, what is summed above and below the line, float64 (U, A). A unit in which one of them has
            nothing below the line does not count.
    """

    def number(weights: Array) -> Array:
        above = np.stack([weights @ parts.T for parts, _ in ratios])
        below = np.stack([weights @ wholes.T for _, wholes in ratios])
        return _mean_of_units(above, below)

    return number


def pair_ranking(*rankings: tuple[Array, Array]) -> Estimator:
    """The share of pairs (image of a class, image of another) that are in order, averaged over classes and units: AUC.

    Args:
        rankings: Of each class, or of the positive one of two: pairs in order by group of the one and of the other
            image, and all pairs, float64 (U, G, G) each.
    """

    def total(weights: Array, counts: Array) -> Array:
        sums = [np.einsum("da,da->d", weights @ count, weights) for count in counts]
        return np.stack(sums, axis=1)

    def number(weights: Array) -> Array:
        ordered = np.stack([total(weights, counts) for counts, _ in rankings])
        pairs = np.stack([total(weights, counts) for _, counts in rankings])
        return _mean_of_units(ordered, pairs)

    return number


def rank_area(*rankings: list[tuple[Array, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]) -> Estimator:
    """The AUC of :func:`pair_ranking`, for many groups: of G groups it needs G places a draw, and not G x G in all.

    Args:
        rankings: Of each class, of each unit its images from the lowest score to the highest: whether they are of the
            class, 0 or 1 (N,), the first and the last place of each image's score among them, (N,) each, and their
            groups, (N,).
    """

    def of_block(drawn: Array) -> Array:
        parts = [[_ranked_pairs(drawn, *unit) for unit in units] for units in rankings]
        ordered, pairs = (np.array([[pair[part] for pair in units] for units in parts]) for part in (0, 1))
        return _mean_of_units(ordered.transpose(0, 2, 1), pairs.transpose(0, 2, 1))

    def in_blocks(weights: Array) -> Array:
        drawn = np.ascontiguousarray(weights.T)
        return np.concatenate([of_block(drawn[:, start : start + _BLOCK]) for start in range(0, len(weights), _BLOCK)])

    return in_blocks


def _ranked_pairs(
    drawn: Array,
    positive: Array,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> tuple[Array, Array]:
    """Return the pairs in order, ties half, and all pairs, in each column of weights (G, D): (D,) each."""
    weights = drawn[groups]
    of_class = weights * positive[:, None]
    others = np.concatenate([np.zeros((1, weights.shape[1])), (weights - of_class).cumsum(0)])
    below, tied = others[first], others[last + 1] - others[first]
    return (of_class * (below + tied / 2)).sum(0), of_class.sum(0) * others[-1]


def average_precision(units: list[tuple[Array, NDArray[np.int64], NDArray[np.int64]]]) -> Estimator:
    """The area under the precision-recall curve, averaged over units.

    Args:
        units: Of each, its images from the most to the least likely positive: their labels (N,), the last place of each
            image's score among them (N,), since images of one score come in together, and their groups (N,).
    """

    def of_block(drawn: Array) -> Array:
        precision = [_average_precision(labels, last, drawn[columns]) for labels, last, columns in units]
        parts, wholes = (np.stack(sums, axis=1) for sums in zip(*precision, strict=True))
        return _mean_of_units(parts[None], wholes[None])

    def in_blocks(weights: Array) -> Array:
        drawn = np.ascontiguousarray(weights.T)
        # a block of draws stays in the processor's cache, all of them would not
        return np.concatenate([of_block(drawn[:, start : start + _BLOCK]) for start in range(0, len(weights), _BLOCK)])

    return in_blocks


def _average_precision(labels: Array, last: NDArray[np.int64], weights: Array) -> tuple[Array, Array]:
    """Sum of the positive images' precisions, and their weight, in each column of weights (N, D): (D,) each."""
    positive = weights * labels[:, None]
    called, right = weights.cumsum(0)[last], positive.cumsum(0)[last]
    precision = np.divide(right, called, out=np.zeros_like(right), where=called > 0)
    return (positive * precision).sum(0), positive.sum(0)


def binned_gap(gaps: Array, images: Array) -> Estimator:
    """The expected calibration error: the mean over images of their bin's gap between confidence and frequency.

    Args:
        gaps: Sum of (probability - label) by unit, bin and group, float64 (U, bins, A).
        images: Images by unit and group, float64 (U, A).
    """
    return lambda weights: _mean_of_units(np.abs(gaps @ weights.T).sum(1).T[None], (weights @ images.T)[None])


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

    @cached_property
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

    def of(self, amounts: Array) -> Array:
        """Sum of an amount an image: (U, A)."""
        place = self._unit * self._shape[1] + self._column
        total: Array = np.bincount(place, amounts, self._shape[0] * self._shape[1]).astype(float)
        return total.reshape(self._shape)

    def patient_mean(self, right: Array, patient: pd.Series[str]) -> Estimator:
        """The mean of patients' own shares, whatever a patient is; a patient belongs to one group."""
        keys = pd.DataFrame({"unit": self._unit, "column": self._column, "patient": patient.to_numpy(), "right": right})
        rates = keys.groupby(["unit", "column", "patient"], sort=False)["right"].mean().reset_index()
        parts, wholes = np.zeros(self._shape), np.zeros(self._shape)
        np.add.at(parts, (rates["unit"], rates["column"]), rates["right"])
        np.add.at(wholes, (rates["unit"], rates["column"]), 1.0)
        return mean_of_ratios((parts, wholes))

    def ranking(self, predictions: pd.DataFrame) -> Estimator:
        """Pairs in order, by group: of the positive class of two, otherwise of each class against the others."""
        columns, labels = class_columns(predictions), predictions["label"].to_numpy()
        of = [(1, "p_1")] if is_binary(predictions) else list(enumerate(columns))
        asked = [(predictions[column].to_numpy(float), (labels == label).astype(int)) for label, column in of]
        if self._shape[1] > _MANY_GROUPS:
            return rank_area(*(self._ranks(*one) for one in asked))
        return pair_ranking(*(self._ranking(*one) for one in asked))

    def precision(self, predictions: pd.DataFrame) -> Estimator:
        """Images in the order of their scores, by unit; units without one of the classes have no curve."""
        scores, labels = predictions["p_1"].to_numpy(float), predictions["label"].to_numpy(float)
        units = []
        for unit in range(self._shape[0]):
            here = np.flatnonzero(self._unit == unit)
            here = here[np.argsort(-scores[here], kind="stable")]
            last = np.searchsorted(-scores[here], -scores[here], side="right") - 1
            units.append((labels[here] * (np.ptp(labels[here]) > 0), last, self._column[here]))
        return average_precision(units)

    def calibration(self, predictions: pd.DataFrame) -> Estimator:
        """Gaps by bin."""
        scores, labels = predictions["p_1"].to_numpy(float), predictions["label"].to_numpy(float)
        bins = np.minimum((scores * ECE_BINS).astype(int), ECE_BINS - 1)
        gaps = np.stack([self.of((scores - labels) * (bins == place)) for place in range(ECE_BINS)], axis=1)
        return binned_gap(gaps, self.of(np.ones_like(scores)))

    def _ranks(
        self, scores: Array, positive: NDArray[np.int64]
    ) -> list[tuple[Array, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Return the images of each unit in the order of their scores; see :func:`rank_area`."""
        units = []
        for unit in range(self._shape[0]):
            here = np.flatnonzero(self._unit == unit)
            here = here[np.argsort(scores[here], kind="stable")]
            ranked = scores[here]
            first, last = (np.searchsorted(ranked, ranked, side=side) for side in ("left", "right"))
            units.append((positive[here].astype(float), first, last - 1, self._column[here]))
        return units

    def _ranking(self, scores: Array, positive: NDArray[np.int64]) -> tuple[Array, Array]:
        units = [self._pairs(scores, positive, self._unit == unit) for unit in range(self._shape[0])]
        ordered, pairs = zip(*units, strict=True)
        return np.stack(ordered), np.stack(pairs)

    def _pairs(self, scores: Array, positive: NDArray[np.int64], chosen: NDArray[np.bool_]) -> tuple[Array, Array]:
        scores, positive = scores[chosen], positive[chosen]
        columns, size = self._column[chosen], self._shape[1]
        of_one, of_other = scores[positive == 1], scores[positive == 0]
        order = (np.sign(of_one[:, None] - of_other[None, :]) + 1) / 2
        to_row, to_column = (np.eye(size)[columns[positive == label]] for label in (1, 0))
        return to_row.T @ order @ to_column, np.outer(to_row.sum(0), to_column.sum(0))


def _mean_of_units(parts: Array, wholes: Array) -> Array:
    """Divide (K, D, U) by (K, D, U), average over K, and then over the units that have something to divide by."""
    there = (wholes > 0).all(0)
    ratios = np.divide(parts, wholes, out=np.zeros_like(parts), where=there).mean(0)
    units = there.sum(1)
    mean: Array = np.divide(ratios.sum(1), units, out=np.full(len(units), np.nan), where=units > 0)
    return mean
