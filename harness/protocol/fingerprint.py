"""Hash of a split."""

from __future__ import annotations

import hashlib

import pandas as pd

from harness.data.description import DataSetDescription, plural
from harness.protocol.leak_gate import find_leak
from harness.protocol.names import SIDES


def split_fingerprint(splits: pd.DataFrame) -> str:
    """Return sha256 over every image's seed, fold and side: equal on every machine for an equal division."""
    ordered = splits.sort_values(["seed", "fold", "image"])
    columns = [ordered[name].astype(str) for name in ("seed", "fold", "image", "side")]
    lines = columns[0].str.cat(columns[1:], sep=" ")  # column by column: there are a million rows in a large run
    return hashlib.sha256("\n".join(lines.to_list()).encode()).hexdigest()


def describe_splits(splits: pd.DataFrame, images: pd.DataFrame, data_set: DataSetDescription) -> pd.DataFrame:
    """Count who is where.

    Returns:
        One row a seed, fold and side: ``images``, the smallest groups (``slides``; counted once a subtype, as the
        literature does), the groups of each class (``benign_accessions``), and all groups (``accessions``).
    """
    table = splits.merge(images, left_on="image", right_on="name")
    table["case"] = table["subtype"] + " " + table["subgroup"]
    keys, groups = ["seed", "fold", "side"], plural(data_set.group)
    grouped = table.groupby(keys)
    counts = grouped.size().to_frame("images")
    if data_set.has_subgroups:
        counts[plural(data_set.subgroup)] = grouped["case"].nunique()
    for label, words in enumerate(data_set.classes):
        counts[f"{words}_{groups}"] = table[table["label"] == label].groupby(keys)["group"].nunique()
    counts[groups] = grouped["group"].nunique()
    order = {side: place for place, side in enumerate(SIDES)}
    counts = counts.fillna(0).astype(int).reset_index()
    return counts.sort_values(keys, key=lambda c: c.map(order) if c.name == "side" else c, ignore_index=True)


def groups_on_two_sides(splits: pd.DataFrame, images: pd.DataFrame) -> int:
    """Count the groups that stand on two sides of any fold; protocols by a smaller level have some."""
    leak = find_leak("group", splits, images.set_index("name")["group"])
    return len(leak.offenders) if leak else 0
