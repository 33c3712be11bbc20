"""The names of protocols and sides."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SIDES = (TRAIN, VALIDATION, TEST)
GROUP_FIVE_FOLD, HOLDOUT, PAPER_RANDOM = "group-5fold", "holdout", "paper-random"
FIVE_FOLD = "{}-5fold"
"""What a data set calls five folds with a level of its groups kept apart, such as ``accession-5fold``."""

ProtocolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)]
LEAKY_PROTOCOLS: frozenset[str] = frozenset({PAPER_RANDOM})
"""Those that put patients on two sides by design."""
