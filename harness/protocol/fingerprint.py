"""Hash of a split."""

from __future__ import annotations

import hashlib

import pandas as pd

from harness.protocol.leak_gate import find_leak
from harness.protocol.names import SIDES


def split_fingerprint(splits: pd.DataFrame) -> str:
    """Return sha256 over every image's seed, fold and side: equal on every machine for an equal division."""
    ordered = splits.sort_values(["seed", "fold", "image"])
    lines = ordered[["seed", "fold", "image", "side"]].astype(str).agg(" ".join, axis=1)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def describe_splits(splits: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Count who is where.

    Returns:
        One row a seed, fold and side: ``images slides benign_accessions malignant_accessions accessions``. A slide is
        counted once a diagnosis, as the literature does.
    """
    table = splits.merge(images, left_on="image", right_on="name")
    table["case"] = table["type"] + " " + table["slide"]
    keys = ["seed", "fold", "side"]
    counts = table.groupby(keys).agg(
        images=("image", "size"), slides=("case", "nunique"), accessions=("accession", "nunique")
    )
    for label, column in ((0, "benign_accessions"), (1, "malignant_accessions")):
        counts[column] = table[table["label"] == label].groupby(keys)["accession"].nunique()
    order = {side: place for place, side in enumerate(SIDES)}
    counts = counts.fillna(0).astype(int).reset_index()
    return counts.sort_values(keys, key=lambda c: c.map(order) if c.name == "side" else c, ignore_index=True)


def accessions_on_two_sides(splits: pd.DataFrame, images: pd.DataFrame) -> int:
    """Count the accessions that stand on two sides of any fold; protocols by slide have some."""
    leak = find_leak("accession", splits, images.set_index("name")["accession"])
    return len(leak.offenders) if leak else 0
