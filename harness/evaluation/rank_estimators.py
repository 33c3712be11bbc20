"""Areas under the curves of rankings, ROC and precision-recall, as functions of patient weights.

Each has two roads to the same bits: a loop that numba compiles, and NumPy for where numba is absent or there is too
little to do for it. Counts of images and of pairs are whole or half numbers, exact in any order; precisions are added
up from the highest score on, on both roads.

Shapes: A groups, D draws, U units, N images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.rank_kernels import count_pairs, sum_precisions
from harness.evaluation.weighted import Array, Estimator, mean_of_units
from harness.kernels import Kernel
from harness.threads import lazy

Places = NDArray[np.int64]
Flags = NDArray[np.bool_]
Sums = tuple[Array, Array]
"""What stands above and below the line of a ratio, float64 (D, U) each."""

_BLOCK = 200  # a block of draws stays in the processor's cache, all of them would not
_MANY_GROUPS = 300  # pairs of groups take more than images in order, in time and in memory
_MUCH = 2_000_000  # images times draws: for less it does not pay to import numba


@dataclass(frozen=True)
class Ranking:
    """Images from the highest score to the lowest, unit below unit.

    Attributes:
        groups: The group of each, (N,).
        positive: Whether it is of the class in question, (N,).
        last: The last place of an image of its unit and score, (N,).
        bounds: The first place of each unit, and the end of the last one, (U + 1,).
    """

    groups: Places
    positive: Flags
    last: Places
    bounds: Places

    @staticmethod
    def of(scores: Array, positive: Flags, groups: Places, units: Places) -> Ranking:
        """Rank images, (N,) each; units are numbers from 0 to U - 1."""
        order = np.lexsort((-scores, units))
        scores, units = scores[order], units[order]
        ends = np.flatnonzero((scores[1:] != scores[:-1]) | (units[1:] != units[:-1]))
        ends = np.append(ends, len(order) - 1)
        last = np.repeat(ends, np.diff(ends, prepend=-1))
        bounds = np.searchsorted(units, np.arange(units[-1] + 2))
        return Ranking(groups[order], positive[order], last, bounds)

    @property
    def units(self) -> Iterator[Ranking]:
        """Each unit by itself."""
        for start, end in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            own = slice(start, end)
            yield Ranking(self.groups[own], self.positive[own], self.last[own] - start, np.array([0, end - start]))

    def compiled_sums(self, kernel: Kernel[..., None], drawn: Array) -> Sums | None:
        """Return what a kernel of :mod:`~harness.evaluation.rank_kernels` fills under weights (A, D).

        None where NumPy is to do it.
        """
        if len(self.groups) * drawn.shape[1] < _MUCH or (fill := kernel.machine_code) is None:
            return None
        sums = np.zeros((2, len(self.bounds) - 1, drawn.shape[1]))
        fill(drawn, self.groups, self.positive.astype(float), self.last, self.bounds, sums)
        return np.ascontiguousarray(sums[0].T), np.ascontiguousarray(sums[1].T)


def pair_ranking(*rankings: Ranking) -> Estimator:
    """The share of pairs (image of a class, image of another) that are in order, averaged over classes and units: AUC.

    Args:
        rankings: Of each class, or of the positive one of two.
    """
    return _mean_of([_Pairs(ranking) for ranking in rankings])


def average_precision(ranking: Ranking) -> Estimator:
    """The area under the precision-recall curve, averaged over units; those of one class alone have no curve."""
    lacking = np.logical_and.reduceat(ranking.positive, ranking.bounds[:-1])
    positive = ranking.positive & ~np.repeat(lacking, np.diff(ranking.bounds))
    return _mean_of([_Precisions(Ranking(ranking.groups, positive, ranking.last, ranking.bounds))])


def _mean_of(ratios: list[Callable[[Array], Sums]]) -> Estimator:
    """Average ratios whose sums are given by functions of weights (A, D)."""

    def number(weights: Array) -> Array:
        drawn = np.ascontiguousarray(weights.T)
        parts, wholes = zip(*(sums(drawn) for sums in ratios), strict=True)
        return mean_of_units(np.stack(parts), np.stack(wholes))

    return number


class _Pairs:
    """Counts the pairs (positive image, other image) of a ranking, in order (ties half) and all of them."""

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking

    def __call__(self, drawn: Array) -> Sums:
        if drawn.shape[1] == 1:
            return _ranked_pairs(self._ranking, drawn)
        if (found := self._ranking.compiled_sums(count_pairs, drawn)) is not None:
            return found
        if len(drawn) > _MANY_GROUPS:
            units = list(self._ranking.units)
            return _joined([[_ranked_pairs(unit, block) for unit in units] for block in _blocks(drawn)])
        return _joined([[unit.totals(drawn) for unit in self._by_group]])

    @lazy
    def _by_group(self) -> list[_GroupPairs]:
        return [_GroupPairs.of(unit) for unit in self._ranking.units]


def _ranked_pairs(ranking: Ranking, drawn: Array) -> Sums:
    """Go through the images in order: for many groups, since it needs A places a draw, and not A x A in all."""
    weights = drawn[ranking.groups]
    of_class = weights * ranking.positive[:, None]
    others = np.concatenate([np.zeros((1, weights.shape[1])), (weights - of_class).cumsum(0)])
    first, behind = np.searchsorted(ranking.last, ranking.last), ranking.last + 1
    ends = np.repeat(ranking.bounds[1:], np.diff(ranking.bounds))
    below, tied = others[ends] - others[behind], others[behind] - others[first]
    starts = ranking.bounds[:-1]
    ordered, of_class = (np.add.reduceat(counts, starts) for counts in (of_class * (below + tied / 2), of_class))
    pairs = of_class * (others[ranking.bounds[1:]] - others[starts])
    return np.ascontiguousarray(ordered.T), np.ascontiguousarray(pairs.T)


@dataclass(frozen=True)
class _GroupPairs:
    """The pairs of a unit by group: only of groups that have such images.

    Attributes:
        of_class: The groups of the positive image, (A1,).
        of_others: The groups of the other image, (A2,).
        ordered: How many pairs are in order, ties half, float64 (A1, A2).
        pairs: How many there are, float64 (A1, A2).
    """

    of_class: Places
    of_others: Places
    ordered: Array
    pairs: Array

    @staticmethod
    def of(unit: Ranking) -> _GroupPairs:
        """Count pairs by group: images of one group stand side by side, so that sums run along them."""
        by_group = np.argsort(unit.groups, kind="stable")
        one, other = by_group[unit.positive[by_group]], by_group[~unit.positive[by_group]]
        (rows, from_row, n_rows), (columns, from_column, n_columns) = (
            np.unique(unit.groups[images], return_index=True, return_counts=True) for images in (one, other)
        )
        pairs = np.outer(n_rows, n_columns).astype(float)
        if not pairs.size:
            return _GroupPairs(rows, columns, pairs, pairs)
        order = (np.sign(unit.last[other][None, :] - unit.last[one][:, None]) + 1) / 2
        ordered = np.add.reduceat(np.add.reduceat(order, from_row, axis=0), from_column, axis=1)
        return _GroupPairs(rows, columns, ordered, pairs)

    def totals(self, drawn: Array) -> Sums:
        """Return the pairs in order and all pairs under weights (A, D)."""
        one, other = np.ascontiguousarray(drawn.T[:, self.of_class]), np.ascontiguousarray(drawn.T[:, self.of_others])
        ordered, pairs = (np.einsum("da,da->d", one @ counts, other) for counts in (self.ordered, self.pairs))
        return ordered[:, None], pairs[:, None]


class _Precisions:
    """Sums the precisions at the positive images of a ranking, and their weights."""

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking

    def __call__(self, drawn: Array) -> Sums:
        if drawn.shape[1] == 1:
            return self._of_one(drawn[:, 0])
        if (found := self._ranking.compiled_sums(sum_precisions, drawn)) is not None:
            return found
        return _joined([[unit.totals(block) for unit in self._counts] for block in _blocks(drawn)])

    def _of_one(self, drawn: Array) -> Sums:
        """Return the sums under one weight a group, whose last bit pairs of places decide."""
        ranking = self._ranking
        weights, starts = drawn[ranking.groups], ranking.bounds[:-1]
        came = np.zeros((2, len(weights) + 1))
        np.cumsum([weights * ranking.positive, weights], axis=1, out=came[:, 1:])
        right, called = came[:, ranking.last + 1] - came[:, np.repeat(starts, np.diff(ranking.bounds))]
        precisions = right / np.maximum(called, 1) * weights * ranking.positive
        sums = [precisions[start:end].sum() for start, end in zip(starts, ranking.bounds[1:], strict=True)]
        return np.array([sums]), np.add.reduceat(weights * ranking.positive, starts)[None]

    @lazy
    def _counts(self) -> list[_Counts]:
        return [_Counts.of(unit) for unit in self._ranking.units]


@dataclass(frozen=True)
class _Counts:
    """How many images of a unit have come in with each positive one.

    Attributes:
        groups: The group of each positive image, (P,).
        right: How many positive images of each group, with the groups: float64 (P, A1), (A1,).
        wrong: Likewise of the others.
    """

    groups: Places
    right: tuple[Array, Places]
    wrong: tuple[Array, Places]

    @staticmethod
    def of(unit: Ranking) -> _Counts:
        """Count images by group."""
        right, wrong = (_came_in(unit, chosen) for chosen in (unit.positive, ~unit.positive))
        return _Counts(unit.groups[unit.positive], right, wrong)

    def totals(self, drawn: Array) -> Sums:
        """Return the sum of the precisions, and the weight of the positive images, under weights (A, D)."""
        right, wrong = (counts @ drawn[groups] for counts, groups in (self.right, self.wrong))
        called = np.maximum(wrong + right, 1)  # nobody called, nobody right
        weights = drawn[self.groups]
        return (right / called * weights).sum(0)[:, None], weights.sum(0)[:, None]


def _came_in(unit: Ranking, chosen: Flags) -> tuple[Array, Places]:
    """Return how many chosen images of each group have come in with each positive image, and the groups."""
    present, group = np.unique(unit.groups[chosen], return_inverse=True)
    counts = np.zeros((len(unit.groups), len(present)))
    counts[np.flatnonzero(chosen), group] = 1
    return counts.cumsum(0)[unit.last[unit.positive]], present


def _blocks(drawn: Array) -> list[Array]:
    """Split draws evenly: a single one would be summed in another order."""
    return np.array_split(drawn, -(-drawn.shape[1] // _BLOCK), axis=1)


def _joined(blocks: list[list[Sums]]) -> Sums:
    """Put units side by side, and blocks of draws one below the other."""
    parts, wholes = (np.block([[sums[part] for sums in units] for units in blocks]) for part in (0, 1))
    return parts, wholes
