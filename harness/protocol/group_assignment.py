"""Deterministic assignment of whole groups to bins, by hashes alone.

No library's random numbers take part, so a division is the same on every machine and in every version. Within each
class (or set of classes, where a group has images of several), groups sorted by size are taken in blocks, and each
block is dealt out in the order of sha256(seed, group): every bin gets groups of all sizes, and hardly any bin gets
fewer groups of a class than another. (Balancing images instead, as scikit-learn's StratifiedGroupKFold does, makes
folds of BreakHis with a single benign accession.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.errors import SplitError

MIN_GROUPS = 5


def assign_groups(groups: pd.Series[str], strata: pd.Series[Any], seed: int, bins: Sequence[int]) -> pd.Series[int]:
    """Deal the groups of images into bins.

    Args:
        groups: The group of each image.
        strata: What is to be spread evenly: tuples of classes, constant within a group; from :func:`class_sets`.
        seed: Another seed is another division.
        bins: The bin that each place of a block goes to; its length is the length of a block.

    Returns:
        The bin of each image, with the index of ``groups``.

    Raises:
        SplitError: A class has fewer than five groups.
    """
    table = pd.DataFrame({"group": groups, "stratum": strata}).value_counts().rename("images").reset_index()
    _refuse_few_groups(table)
    table["rank"] = [hash_rank(seed, group) for group in table["group"]]
    bin_of: dict[str, int] = {}
    begun = 0  # places that sets of several classes have taken: each goes on where the last one stopped
    for classes, stratum in table.groupby("stratum"):
        ordered = stratum.sort_values(["images", "rank"], ascending=[False, True])
        turn = begun % len(bins) if len(classes) > 1 else 0
        places = [*bins[turn:], *bins[:turn]]
        for start in range(0, len(ordered), len(bins)):
            block = ordered.iloc[start : start + len(bins)].sort_values("rank")
            bin_of.update(zip(block["group"], places, strict=False))
        begun += len(ordered) if len(classes) > 1 else 0
    return groups.map(bin_of).astype(int)


def class_sets(groups: pd.Series[str], classes: pd.Series[str]) -> pd.Series[Any]:
    """Return the classes that each image's group has images of, as a sorted tuple of names."""
    sets = classes.groupby(groups).agg(lambda own: tuple(sorted(set(own))))
    return groups.map(sets)


def hash_rank(seed: int, group: str) -> str:
    """Return the hexadecimal sha256 of seed and group: an order that nobody chose."""
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()


def _refuse_few_groups(table: pd.DataFrame) -> None:
    """Every class needs five groups with images of it; of mixed groups there may be fewer."""
    counts = table["stratum"].explode().value_counts().sort_index()
    if (counts < MIN_GROUPS).any():
        found = ", ".join(f"{number} of {name}" for name, number in counts.items())
        raise SplitError(
            f"too few groups to divide: {found}; at least {MIN_GROUPS} of each are needed - add images of other groups"
        )
