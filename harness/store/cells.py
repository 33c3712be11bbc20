"""A cell: one model x stratum x fold x seed."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One model x stratum x fold x seed, such as densenet x 200x x 0 x 0."""

    label: str
    stratum: str
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """The cell's folder."""
        return f"{slug(self.label)}-{slug(self.stratum)}-fold{self.fold}-seed{self.seed}"


def slug(label: str) -> str:
    """Return a label as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.") or "model"
