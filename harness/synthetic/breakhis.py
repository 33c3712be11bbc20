"""Generated breast slides in the shape of BreakHis.

They carry what matters about BreakHis: official names and folders, accessions that are easy to recognise by their
stain, and a difference between the classes that accessions partly hide. A random split therefore flatters a model here
as it does on the real slides. The pictures stand in for data, never for evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

from harness.data.manifest import TWICE_PUBLISHED_SLIDE
from harness.data.names import CLASSES, MAGNIFICATIONS, TYPE_FOLDERS, ImageName, parse_stem
from harness.data.official import official_list
from harness.processes import map_in_order
from harness.synthetic import painting as paint
from harness.synthetic.files import keyed_rng, new_folder, write_png
from harness.synthetic.painting import PictureArray, Tissue
from harness.synthetic.settings import SyntheticSettings

_TREE = Path("BreaKHis_v1/histology_slides/breast")
_ASPECT = 700 / 460
_POOL_PAYS_FROM = 500

_BETWEEN_ACCESSIONS = 0.27
_WITHIN_ACCESSION = 0.15
# Between accessions the tissue varies so much that texture features with an SVM get 75 to 90 % of the pictures right on
# unseen accessions, and well above 90 % where an accession stands on both sides.

# Each row: glands, lumen, wall, solid, crowding, nucleus, variety, roughness, spindles, mucin.
_BREAST = {
    "A": Tissue(0.80, 2.2, 2.4, 0.05, 1.00, 1.00, 0.15, 0.07, 0.9),
    "F": Tissue(0.55, 2.8, 2.4, 0.04, 1.00, 1.00, 0.15, 0.07, 1.2),
    "PT": Tissue(0.45, 3.8, 2.6, 0.08, 1.00, 1.10, 0.20, 0.10, 1.6),
    "TA": Tissue(0.90, 1.8, 2.2, 0.05, 1.10, 0.95, 0.14, 0.06, 0.7),
    "DC": Tissue(0.20, 2.2, 2.8, 0.55, 1.20, 1.35, 0.32, 0.20, 1.0),
    "LC": Tissue(0.15, 2.0, 2.4, 0.48, 1.10, 1.20, 0.24, 0.16, 1.4),
    "MC": Tissue(0.20, 2.0, 2.6, 0.50, 1.15, 1.30, 0.28, 0.17, 0.8, 0.3),
    "PC": Tissue(0.40, 3.4, 3.8, 0.45, 1.20, 1.30, 0.28, 0.18, 0.9),
}


@dataclass(frozen=True, slots=True)
class _Picture:
    """A file to write: its ``name``, and the name whose picture it holds, which is another one only for slide 13412."""

    name: ImageName
    painted_as: ImageName


def write_synthetic_breakhis(
    folder: Path, settings: SyntheticSettings, on_progress: Callable[[int, int], None] | None = None
) -> int:
    """Write generated breast slides as PNG files in the official tree below ``folder``.

    Each picture follows from the seed, its name and the size alone. Above 500 pictures a pool of processes paints them,
    so a script that calls this needs the usual ``__main__`` guard.

    Args:
        folder: Where to; a new or empty folder.
        settings: What to generate.
        on_progress: Called with the number of pictures done and the number of all, after each.

    Returns:
        The number of pictures.

    Raises:
        UsageError: ``folder`` exists and is not empty; it is left as it is.
        EnvironmentMissingError: ``folder`` cannot be written; nothing is left behind.
    """
    pictures = _plan(settings)
    with new_folder(folder) as new:
        for place in {picture.name.official_folder for picture in pictures}:
            (new / _TREE / place).mkdir(parents=True)
        report = on_progress or (lambda _done, _total: None)
        _each(partial(_write_picture, new / _TREE, settings), pictures, report)
    return len(pictures)


def _plan(settings: SyntheticSettings) -> list[_Picture]:
    names = _official_names() if settings.like == "official" else _invented_names(settings)
    twins = _twins(names)
    return [_Picture(name, twins.get(name.stem, name)) for name in names]


def _official_names() -> list[ImageName]:
    names = (parse_stem(str(stem)) for stem in official_list().index)
    return [name for name in names if name is not None]


def _invented_names(settings: SyntheticSettings) -> list[ImageName]:
    count, benign = settings.accessions, max(5, round(settings.accessions / 3))
    types = {label: cycle(list(TYPE_FOLDERS)[4 * label : 4 * label + 4]) for label in (0, 1)}
    names = []
    for index in range(count):
        label = int((index + 1) * benign // count == index * benign // count)
        names += _names_of_accession(index, next(types[label]), label, settings.images)
    return names


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


def _each(write: Callable[[_Picture], None], pictures: list[_Picture], report: Callable[[int, int], None]) -> None:
    """Call ``write`` on every picture, in a pool where that pays."""
    for done, _ in enumerate(map_in_order(write, pictures, _POOL_PAYS_FROM, chunksize=32), 1):
        report(done, len(pictures))


def _write_picture(root: Path, settings: SyntheticSettings, picture: _Picture) -> None:
    pixels = _paint_slide(picture.painted_as, settings.size, settings.seed)
    path = root / picture.name.official_folder / f"{picture.name.stem}.png"
    write_png(path, pixels)


def _paint_slide(name: ImageName, size: int, seed: int) -> PictureArray:
    """Paint the picture of one official name: uint8 (3, size, W)."""
    rng = keyed_rng(seed, "image", name.stem, size)
    look = paint.draw_look(keyed_rng(seed, "look", name.accession))
    look = paint.vary_look(paint.vary_look(look, keyed_rng(seed, "slide", name.slide), 0.05), rng, 0.04)
    tissue = paint.vary_tissue(
        _BREAST[name.tumour_type], keyed_rng(seed, "tissue", name.accession), _BETWEEN_ACCESSIONS
    )
    tissue = paint.vary_tissue(tissue, rng, _WITHIN_ACCESSION)
    return paint.paint_tissue(tissue, look, paint.frame_at(name.magnification, size, round(size * _ASPECT)), rng)
