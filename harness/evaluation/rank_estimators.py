"""Areas under the curves of rankings, ROC and precision-recall, as functions of patient weights.

Shapes: A groups, D draws, U units, N images of a unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.weighted import Array, Estimator, mean_of_units

_BLOCK = 200


@dataclass(frozen=True)
class PairCounts:
    """The pairs of a unit (image of a class, image of another), by group: only of groups that have such images.

    Attributes:
        of_class: The groups of the one image, (A1,).
        of_others: The groups of the other image, (A2,).
        ordered: How many pairs are in order, ties half, float64 (A1, A2).
        pairs: How many there are, float64 (A1, A2).
    """

    of_class: NDArray[np.int64]
    of_others: NDArray[np.int64]
    ordered: Array
    pairs: Array

    def totals(self, weights: Array) -> tuple[Array, Array]:
        """Return the pairs in order and all pairs under each row of weights (D, A): (D,) each."""
        one, other = weights[:, self.of_class], weights[:, self.of_others]
        ordered, pairs = (np.einsum("da,da->d", one @ counts, other) for counts in (self.ordered, self.pairs))
        return ordered, pairs


def pair_ranking(*rankings: list[PairCounts]) -> Estimator:
    """The share of pairs (image of a class, image of another) that are in order, averaged over classes and units: AUC.

    Args:
        rankings: Of each class, or of the positive one of two: its pairs, unit by unit.
    """

    def number(weights: Array) -> Array:
        found = [[unit.totals(weights) for unit in units] for units in rankings]
        ordered, pairs = (
            np.stack([np.stack([pair[part] for pair in units], axis=1) for units in found]) for part in (0, 1)
        )
        return mean_of_units(ordered, pairs)

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
        return mean_of_units(ordered.transpose(0, 2, 1), pairs.transpose(0, 2, 1))

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


@dataclass(frozen=True)
class RankedImages:
    """The images of a unit, from the most to the least likely positive.

    Attributes:
        places: Of the positive images among all, (P,); none where the unit has one class alone.
        groups: The group of each positive image, (P,).
        right: How many positive images of each group come in until the last of a positive image's score, since images
            of one score come in together; with the groups: float64 (P, A1), (A1,).
        wrong: Likewise of the others.
        size: How many images there are.
    """

    places: NDArray[np.int64]
    groups: NDArray[np.int64]
    right: tuple[Array, NDArray[np.int64]]
    wrong: tuple[Array, NDArray[np.int64]]
    size: int

    @staticmethod
    def of(scores: Array, labels: Array, groups: NDArray[np.int64]) -> RankedImages:
        """Rank images by their scores, (N,) each."""
        order = np.argsort(-scores, kind="stable")
        scores, labels, groups = scores[order], labels[order], groups[order]
        positive = (labels > 0) & (np.ptp(labels) > 0)
        places = np.flatnonzero(positive)
        last = (np.searchsorted(-scores, -scores, side="right") - 1)[places]
        right, wrong = (_came_in(groups, chosen, last) for chosen in (positive, ~positive))
        return RankedImages(places, groups[places], right, wrong, len(scores))

    def precisions(self, drawn: Array) -> tuple[Array, Array]:
        """Sum of the positive images' precisions, and their weight, in each column of weights (G, D): (D,) each."""
        right, wrong = (counts @ drawn[groups] for counts, groups in (self.right, self.wrong))
        called = np.maximum(wrong + right, 1)  # nobody called, nobody right
        weights = drawn[self.groups]
        return self._sum(right / called * weights), weights.sum(0)

    def _sum(self, amounts: Array) -> Array:
        if amounts.shape[1] > 1:
            total: Array = amounts.sum(0)
            return total
        # a single column is summed in pairs of places, which decide its last bit
        whole = np.zeros((self.size, 1))
        whole[self.places] = amounts
        return np.asarray(whole.sum(0))


def _came_in(
    groups: NDArray[np.int64], chosen: NDArray[np.bool_], last: NDArray[np.int64]
) -> tuple[Array, NDArray[np.int64]]:
    """Return how many chosen images of each group stand at each of some places or before, and the groups."""
    present, group = np.unique(groups[chosen], return_inverse=True)
    counts = np.zeros((len(groups), len(present)))
    counts[np.flatnonzero(chosen), group] = 1
    return counts.cumsum(0)[last], present


def average_precision(units: list[RankedImages]) -> Estimator:
    """The area under the precision-recall curve, averaged over units."""

    def of_block(drawn: Array) -> Array:
        parts, wholes = (
            np.stack(sums, axis=1) for sums in zip(*(unit.precisions(drawn) for unit in units), strict=True)
        )
        return mean_of_units(parts[None], wholes[None])

    def in_blocks(weights: Array) -> Array:
        drawn = np.ascontiguousarray(weights.T)
        # a block of draws stays in the processor's cache, all of them would not
        return np.concatenate([of_block(drawn[:, start : start + _BLOCK]) for start in range(0, len(weights), _BLOCK)])

    return in_blocks
