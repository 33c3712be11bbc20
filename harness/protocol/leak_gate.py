"""The gate against groups or pictures on two sides of a split."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.data.description import plural
from harness.errors import SplitLeakError

_NAMED = 5


@dataclass(frozen=True)
class Leak:
    """Something that stands on more than one side of a fold.

    Attributes:
        kind: What they are, such as ``accession`` or ``picture``.
        offenders: What it is and where: ``14-22549 (seed 0, fold 2: test, train)``.
        fault: What is wrong with them.
    """

    kind: str
    offenders: tuple[str, ...]
    fault: str = "on two sides"

    def __str__(self) -> str:
        more = len(self.offenders) - _NAMED
        named = "; ".join(self.offenders[:_NAMED])
        words = self.kind if len(self.offenders) == 1 else plural(self.kind)
        return f"{len(self.offenders)} {words} {self.fault}: {named}" + (f"; and {more} more" if more > 0 else "")


def find_leak(kind: str, splits: pd.DataFrame, identity: pd.Series[str]) -> Leak | None:
    """Look for anything that stands on two sides of one fold.

    Args:
        kind: What ``identity`` tells apart.
        splits: ``image fold seed side``.
        identity: From an image's name to its group, or to what equal pictures share.

    Returns:
        The leak with every offender, or None.
    """
    place = ["identity", "seed", "fold"]
    keyed = splits.assign(identity=splits["image"].map(identity))[[*place, "side"]].dropna().drop_duplicates()
    divided = keyed[keyed.duplicated(place, keep=False)]
    if divided.empty:
        return None
    sides = divided.groupby(place)["side"].agg(lambda side: ", ".join(sorted(side)))
    first = sides.reset_index().drop_duplicates("identity")
    offenders = tuple(f"{row.identity} (seed {row.seed}, fold {row.fold}: {row.side})" for row in first.itertuples())
    return Leak(kind, offenders)


def find_picture_leak(splits: pd.DataFrame, content: pd.Series[str]) -> Leak | None:
    """Look for pixel-identical images across sides.

    Args:
        splits: ``image fold seed side``.
        content: From an image's name to what images of equal full-size pixels share.
    """
    shared = content[content.duplicated(keep=False)]
    names = shared.groupby(shared).agg(lambda group: " = ".join(sorted(group.index)))
    copies = splits[splits["image"].isin(shared.index)]
    return find_leak("picture", copies, shared.map(names)) if len(copies) else None


def pass_gate(leaks: list[Leak], *, allow_leak: bool) -> None:
    """Stop the run at a leak that was not asked for.

    Raises:
        SplitLeakError: There is a leak, and the config does not say ``allow_leak: true``.
    """
    if leaks and not allow_leak:
        raise SplitLeakError(
            " | ".join(map(str, leaks)) + " - such numbers say nothing about new patients; to compute them all the "
            "same, set allow_leak: true (-o allow_leak=true), and every table will be headed LEAKY"
        )
