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
        positive: Places of the positive images, (P,); none where the unit has one class alone.
        groups: The groups of all images, each once, (A,).
        group: Which of them each positive image is of, (P,).
        called: How many images of each group come in until the last of a positive image's score, since images of one
            score come in together, float64 (P, A).
        right: Likewise of positive images.
        size: How many images there are.
    """

    positive: NDArray[np.int64]
    groups: NDArray[np.int64]
    group: NDArray[np.int64]
    called: Array
    right: Array
    size: int

    @staticmethod
    def of(scores: Array, labels: Array, groups: NDArray[np.int64]) -> RankedImages:
        """Rank images by their scores, (N,) each."""
        order = np.argsort(-scores, kind="stable")
        scores, labels = scores[order], labels[order] * (np.ptp(labels) > 0)
        present, group = np.unique(groups[order], return_inverse=True)
        positive = np.flatnonzero(labels)
        last = (np.searchsorted(-scores, -scores, side="right") - 1)[positive]
        one_hot = np.eye(len(present))[group]
        called, right = (images.cumsum(0)[last] for images in (one_hot, one_hot * labels[:, None]))
        return RankedImages(positive, present, group[positive], called, right, len(scores))

    def precisions(self, drawn: Array) -> tuple[Array, Array]:
        """Sum of the positive images' precisions, and their weight, in each column of weights (G, D): (D,) each."""
        weights = drawn[self.groups]
        called, right = self.called @ weights, self.right @ weights
        precision = np.divide(right, called, out=np.zeros_like(right), where=called > 0)
        of_positive = weights[self.group]
        amounts = np.zeros((self.size, drawn.shape[1]))  # in every image's own place: the order decides the last bit
        amounts[self.positive] = of_positive * precision
        return amounts.sum(0), of_positive.sum(0)


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
