"""Settings of generated slides."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.settings import Settings


class SyntheticSettings(Settings):
    """What to generate.

    Attributes:
        like: ``official``: one picture for each published name (7,909 of BreakHis); ``accessions`` and ``images`` then
            count for nothing.
        accessions: How many groups to invent, at least five of each class.
        images: Pictures a group and stratum.
        size: Height in pixels; the width follows from BreakHis' 700x460.
        seed: Another seed gives other pictures under the same names.
    """

    like: Literal["official"] | None = None
    accessions: int = Field(default=24, ge=10)
    images: int = Field(default=4, ge=1, le=999)
    size: int = Field(default=64, ge=16, le=1024)
    seed: int = 0
