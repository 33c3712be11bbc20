"""Findings of an audit."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from harness.audit.shortcuts import PropertyScore, StainOutcome
from harness.data.description import DataSetDescription
from harness.data.near_duplicates import MAX_DIFFERING_BITS, MIN_CORRELATION, IdenticalImages, NearDuplicate
from harness.data.tissue import LOW_TISSUE_SHARE, OUTLYING_SCORE, TISSUE_DENSITY, LowTissue, StainOutlier

SCHEMA_VERSION = 5


@dataclass(frozen=True)
class RelatedSlides:
    """Slides of one name under several types (``name`` is a slide), or of one group; each is named with its type."""

    name: str
    slides: tuple[str, ...]
    classes: tuple[str, ...]
    n_images: int


@dataclass(frozen=True)
class ImageSize:
    """Images of one size in pixels; ``images`` names them but for the most common size."""

    height: int
    width: int
    n_images: int
    images: tuple[str, ...]


@dataclass(frozen=True)
class DivisionFinding:
    """What a way to divide these images would put on both sides of a fold.

    Attributes:
        name: The protocol's name.
        title: What it is in words.
        shared: What stands on two sides, each with a fold where it does: by ``group`` and ``subgroup`` or by
            ``tile``, and by ``identical`` (groups) and ``near_duplicate`` (pairs).
        refused: Why it cannot divide these images, or empty.
    """

    name: str
    title: str
    shared: dict[str, tuple[str, ...]]
    refused: str = ""


@dataclass(frozen=True)
class AuditReport:
    """What was found; images are named as the data set does, others by their path below ``folder``.

    Attributes:
        folder: The folder as it was given.
        data_set: What the data set is; None for LC25000.
        seed: The seed of the divisions.
        n_images: Images looked at, damaged ones included.
        n_origins: The smallest groups (counted once a type), or tiles.
        n_groups: Groups; 0 for LC25000.
        repeated: Files that repeat another of the same name, byte for byte; not looked at.
        unparsed: Images that the data set does not know; compared with the others, but in no protocol.
        notes: What the data set says of the files, such as contradictions.
        unread: Pictures in formats that are not read.
        damaged: Images that do not decode, each with the reason.
        identical: Groups of pixel-identical images, those across slides or tiles first.
        near_duplicates: Pairs of images that show the same, those across slides or tiles first.
        double_slides: The smallest groups under several types.
        divided_groups: Groups of several smaller ones.
        sizes: Sizes of images, the most common first.
        stain_outliers: Images stained unlike the others.
        low_tissue: Images with hardly any tissue, the emptiest first.
        divisions: What each protocol would put on two sides.
        properties: What single properties of a picture predict with groups apart.
        stains: What each stain normalisation does to the pictures of each class.
        no_shortcuts: Why the last two are empty, or empty.
    """

    folder: str
    data_set: DataSetDescription | None
    seed: int
    n_images: int
    n_origins: int
    n_groups: int
    repeated: tuple[str, ...]
    unparsed: tuple[str, ...]
    notes: tuple[str, ...]
    unread: tuple[str, ...]
    damaged: tuple[tuple[str, str], ...]
    identical: tuple[IdenticalImages, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    double_slides: tuple[RelatedSlides, ...]
    divided_groups: tuple[RelatedSlides, ...]
    sizes: tuple[ImageSize, ...]
    stain_outliers: tuple[StainOutlier, ...]
    low_tissue: tuple[LowTissue, ...]
    divisions: tuple[DivisionFinding, ...]
    properties: tuple[PropertyScore, ...]
    stains: tuple[StainOutcome, ...]
    no_shortcuts: str

    def to_json(self) -> dict[str, Any]:
        """Return the whole report, and the limits it was made with, in types that JSON knows."""
        limits = {
            "max_differing_bits": MAX_DIFFERING_BITS,
            "min_correlation": MIN_CORRELATION,
            "tissue_optical_density": TISSUE_DENSITY,
            "low_tissue_share": LOW_TISSUE_SHARE,
            "outlying_score": OUTLYING_SCORE,
        }
        damaged = [{"image": image, "reason": reason} for image, reason in self.damaged]
        data_set = None if self.data_set is None else self.data_set.model_dump(mode="json")
        found = {**dataclasses.asdict(self), "data_set": data_set, "damaged": damaged}
        return {"schema_version": SCHEMA_VERSION, "limits": limits, **found}
