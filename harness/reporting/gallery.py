"""The test images that a report shows: confidently wrong, least sure, and some that are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from harness.evaluation.metrics import class_columns, is_binary
from harness.protocol.group_assignment import hash_rank
from harness.reporting.results import Results
from harness.store.cells import Cell

Kind = Literal["confidently wrong", "least sure", "right"]

_OF_A_KIND = 6


@dataclass(frozen=True)
class ShownImage:
    """A test image, and what a model made of it.

    Attributes:
        kind: Why it is shown.
        model: The label.
        stratum: The column of a table, such as ``200x``.
        fold: The one that tested it; the first, where several did.
        seed: Likewise.
        image: Its name.
        group: What it belongs to.
        subtype: What of its class it is, such as ``DC``.
        label: Its class, by number.
        predicted: The model's.
        probability: The model's, 0 to 1: of the positive one of two classes, otherwise of the class that it called.
    """

    kind: Kind
    model: str
    stratum: str
    fold: int
    seed: int
    image: str
    group: str
    subtype: str
    label: int
    predicted: int
    probability: float

    @property
    def cell(self) -> Cell:
        """The cell that predicted it."""
        return Cell(self.model, self.stratum, self.fold, self.seed)


def choose_images(results: Results) -> list[ShownImage]:
    """Choose a few test images a model and kind, at most one of a group.

    Shortcuts look at no tissue, and a model that says the same of every image has no image to show; both are left out.
    """
    return [shown for label in results.labels if not results.is_shortcut(label) for shown in _of_model(results, label)]


def _of_model(results: Results, label: str) -> Iterator[ShownImage]:
    tested = results.test_of(label)
    once = tested.sort_values(["seed", "fold"], kind="stable").drop_duplicates("image")
    columns = class_columns(once)
    if once.groupby(["stratum", "seed", "fold"])[columns[-1]].nunique().max() < 2:
        return
    highest = once[columns].max(axis=1)
    once = once.assign(probability=once["p_1"] if is_binary(once) else highest)
    doubt = highest - 1 / len(columns)
    right = once["predicted"] == once["label"]
    by_chance = once["image"].map(lambda name: hash_rank(0, name))
    yield from _first("confidently wrong", once[~right], -doubt)
    yield from _first("least sure", once, doubt)
    yield from _first("right", once[right], by_chance)


def _first(kind: Kind, images: pd.DataFrame, rank: pd.Series) -> Iterator[ShownImage]:
    """Yield the images of the lowest rank, each of a group of its own."""
    ranked = images.assign(rank=rank[images.index]).sort_values(["rank", "image"]).drop_duplicates("group")
    for row in ranked.head(_OF_A_KIND).itertuples():
        yield ShownImage(
            kind=kind,
            model=row.model,
            stratum=row.stratum,
            fold=int(row.fold),
            seed=int(row.seed),
            image=row.image,
            group=row.group,
            subtype=row.subtype,
            label=int(row.label),
            predicted=int(row.predicted),
            probability=float(row.probability),
        )
