"""Generated slides under official names: the plan of the pictures."""

from __future__ import annotations

from itertools import cycle

from harness_plugins.breakhis.names import (
    CLASSES,
    MAGNIFICATIONS,
    TWICE_PUBLISHED_SLIDE,
    TYPE_FOLDERS,
    ImageName,
    parse_stem,
)
from harness_plugins.breakhis.official import official_files

from harness import GeneratedSlide

_TREE = "BreaKHis_v1/histology_slides/breast"


def official_plan() -> list[GeneratedSlide]:
    """Plan a picture for every official name."""
    return _planned([file.name for file in official_files().values()])


def invented_plan(accessions: int, images: int) -> list[GeneratedSlide]:
    """Plan pictures of accessions that there are not.

    Args:
        accessions: How many; a third of them is benign, and at least five are of each class.
        images: Pictures an accession and magnification.
    """
    benign = max(5, round(accessions / 3))
    types = {label: cycle(list(TYPE_FOLDERS)[4 * label : 4 * label + 4]) for label in (0, 1)}
    names = []
    for index in range(accessions):
        label = int((index + 1) * benign // accessions == index * benign // accessions)
        names += _names_of_accession(index, next(types[label]), label, images)
    return _planned(names)


def _planned(names: list[ImageName]) -> list[GeneratedSlide]:
    twins = _twins(names)
    return [_slide(name, twins.get(name.stem, name)) for name in names]


def _slide(name: ImageName, painted_as: ImageName) -> GeneratedSlide:
    return GeneratedSlide(
        file=f"{_TREE}/{name.official_folder}/{name.stem}.png",
        painted_as=painted_as.stem,
        group=painted_as.accession,
        subgroup=painted_as.slide,
        tissue=TYPE_FOLDERS[painted_as.tumour_type].replace("_", " "),
        magnification=painted_as.magnification,
    )


def _names_of_accession(index: int, tumour_type: str, label: int, images: int) -> list[ImageName]:
    """Name one accession's pictures; every sixth accession is cut into the slides A and B."""
    parts = ("A", "B") if index % 6 == 2 else ("",)
    stem = f"SOB_{CLASSES[label][0].upper()}_{tumour_type}-14-{10001 + index}"
    stems = [
        f"{stem}{parts[(image + turn) % len(parts)]}-{magnification}-{image // len(parts) + 1:03d}"
        for turn, magnification in enumerate(MAGNIFICATIONS)
        for image in range(images)
    ]
    return [name for name in map(parse_stem, stems) if name is not None]


def _twins(names: list[ImageName]) -> dict[str, ImageName]:
    """Map each LC name of slide 13412 to the DC name whose picture it shows, in the order of their numbers."""
    twins = {}
    for magnification in MAGNIFICATIONS:
        here = [n for n in names if n.slide == TWICE_PUBLISHED_SLIDE and n.magnification == magnification]
        here.sort(key=lambda name: name.sequence)
        ductal, lobular = ([name for name in here if name.tumour_type == kind] for kind in ("DC", "LC"))
        twins.update({copy.stem: name for name, copy in zip(ductal, lobular, strict=False)})
    return twins
