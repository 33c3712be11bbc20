"""A cell: one model x magnification x fold x seed."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One model x magnification x fold x seed."""

    label: str
    magnification: int
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """The cell's folder."""
        return f"{slug(self.label)}-{self.magnification}x-fold{self.fold}-seed{self.seed}"


def slug(label: str) -> str:
    """Return a label as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.") or "model"
