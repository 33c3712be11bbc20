"""Facts of images in two manifests."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.data.manifest import used_images

_FACTS = ["label", "group", "subgroup", "subtype", "stratum"]


@dataclass(frozen=True)
class OtherFact:
    """An image of which two manifests say something else.

    Attributes:
        image: Its name.
        column: What differs.
        before: As the first has it.
        now: As the second has it.
        more: How many more images differ.
    """

    image: str
    column: str
    before: object
    now: object
    more: int


def find_other_fact(before: pd.DataFrame, now: pd.DataFrame) -> OtherFact | None:
    """Return the first image of which two manifests say something else; None where they agree on all they share."""
    then, found = (used_images(table).set_index("name")[_FACTS] for table in (before, now))
    both = then.index.intersection(found.index)
    differ = (then.loc[both] != found.loc[both]).any(axis=1)
    if not differ.any():
        return None
    name = both[differ.to_numpy()][0]
    column = next(fact for fact in _FACTS if then.loc[name, fact] != found.loc[name, fact])
    return OtherFact(name, column, then.loc[name, column], found.loc[name, column], int(differ.sum()) - 1)
