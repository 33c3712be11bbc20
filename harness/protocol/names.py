"""The names of protocols and sides."""

from __future__ import annotations

from typing import Literal

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SIDES = (TRAIN, VALIDATION, TEST)
ProtocolName = Literal["accession-5fold", "slide-5fold", "official5", "holdout", "paper-random"]
LEAKY_PROTOCOLS: frozenset[ProtocolName] = frozenset({"paper-random"})
"""Those that put patients on two sides by design."""
