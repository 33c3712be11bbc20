"""Generated pictures in the shape of the real data sets, so that everything can be tried before a download.

The breast slides carry what matters about BreakHis: official names and folders, accessions that are easy to recognise
by their stain, and a difference between the classes that accessions partly hide. A random split therefore flatters a
model here as it does on the real slides. The pictures stand in for data, never for evidence.
"""

from __future__ import annotations

import csv
import hashlib
import math
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torchvision.io import encode_jpeg, encode_png

from harness.data import phantom_paint as paint
from harness.data.manifest import TWICE_PUBLISHED_SLIDE
from harness.data.names import CLASSES, MAGNIFICATIONS, TYPE_FOLDERS, ImageName, parse_stem
from harness.data.official import official_list
from harness.data.phantom_paint import FloatArray, PictureArray, Tissue
from harness.errors import EnvironmentMissingError, UsageError
from harness.settings import Settings

_TREE = Path("BreaKHis_v1/histology_slides/breast")
_LUNG_TREE = Path("lung_colon_image_set/lung_image_sets")
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
_LUNG = {
    "lung_aca": Tissue(0.70, 2.6, 3.2, 0.20, 1.10, 1.30, 0.28, 0.20, 1.0),
    "lung_n": Tissue(0.95, 6.0, 1.1, 0.02, 0.60, 0.90, 0.15, 0.08, 0.6),
    "lung_scc": Tissue(0.02, 2.0, 2.4, 0.75, 0.90, 1.40, 0.30, 0.18, 0.8),
}


class PhantomSettings(Settings):
    """What to generate.

    Attributes:
        like: ``official``: one picture for each of the 7,909 official names; ``accessions`` and ``images`` then count
            for nothing.
        accessions: How many accessions to invent; a third of them is benign, and at least five are of each class.
        images: Pictures an accession and magnification.
        size: Height in pixels; the width follows from BreakHis' 700x460.
        seed: Another seed gives other pictures under the same names.
    """

    like: Literal["official"] | None = None
    accessions: int = Field(default=24, ge=10)
    images: int = Field(default=4, ge=1, le=999)
    size: int = Field(default=64, ge=16, le=1024)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Picture:
    """A file to write: its ``name``, and the name whose picture it holds, which is another one only for slide 13412."""

    name: ImageName
    painted_as: ImageName


def write_breakhis_phantom(
    folder: Path, settings: PhantomSettings, on_progress: Callable[[int, int], None] | None = None
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
    with _new_folder(folder) as new:
        for place in {picture.name.official_folder for picture in pictures}:
            (new / _TREE / place).mkdir(parents=True)
        report = on_progress or (lambda _done, _total: None)
        _each(partial(_write_picture, new / _TREE, settings), pictures, report)
    return len(pictures)


def write_lung_phantom(folder: Path, tiles: int = 40, copies: int = 3, size: int = 64, seed: int = 0) -> int:
    """Write generated lung histology in the tree of LC25000, with ``groups.csv`` (columns path, class, tile) beside it.

    As in LC25000, a tile stands there several times, turned or mirrored, under unrelated numbers.

    Args:
        folder: Where to; a new or empty folder.
        tiles: Tiles a class; there are three classes.
        copies: Files a tile, 1 to 8: a square has no more symmetries.
        size: Height and width in pixels.
        seed: Another seed gives other pictures.

    Returns:
        The number of files.

    Raises:
        UsageError: A number is out of range, or ``folder`` is not empty.
        EnvironmentMissingError: ``folder`` cannot be written; nothing is left behind.
    """
    _require(tiles=(tiles, 1, 99_999), copies=(copies, 1, 8), size=(size, 16, 1024))
    with _new_folder(folder) as new:
        rows = [row for kind in _LUNG for row in _write_lung_class(new, kind, (tiles, copies), size, seed)]
        with (new / "groups.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("path", "class", "tile"), *rows])
    return len(rows)


def write_natural_phantom(folder: Path, classes: int = 4, images: int = 40, size: int = 64, seed: int = 0) -> int:
    """Write coloured patterns as ``<class>/<number>.jpg``, to stand in for a folder of natural images.

    Args:
        folder: Where to; a new or empty folder.
        classes: Patterns, 2 to 16; colours tell nothing about them.
        images: Pictures a class.
        size: Height and width in pixels.
        seed: Another seed gives other pictures.

    Returns:
        The number of files.

    Raises:
        UsageError: A number is out of range, or ``folder`` is not empty.
        EnvironmentMissingError: ``folder`` cannot be written; nothing is left behind.
    """
    _require(classes=(classes, 2, 2 * len(_PATTERNS)), images=(images, 1, 99_999), size=(size, 16, 1024))
    kinds = [(f"{name}_{scale}", name, period) for scale, period in _PERIODS.items() for name in _PATTERNS]
    with _new_folder(folder) as new:
        for kind, pattern, period in kinds[:classes]:
            (new / kind).mkdir()
            for number in range(1, images + 1):
                picture = _paint_pattern(pattern, period, size, _rng(seed, "natural", kind, number, size))
                _write_jpeg(new / kind / f"{number}.jpg", picture)
    return classes * images


def _plan(settings: PhantomSettings) -> list[_Picture]:
    names = _official_names() if settings.like == "official" else _invented_names(settings)
    twins = _twins(names)
    return [_Picture(name, twins.get(name.stem, name)) for name in names]


def _official_names() -> list[ImageName]:
    names = (parse_stem(str(stem)) for stem in official_list().index)
    return [name for name in names if name is not None]


def _invented_names(settings: PhantomSettings) -> list[ImageName]:
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
    if len(pictures) <= _POOL_PAYS_FROM:
        for done, picture in enumerate(pictures, 1):
            write(picture)
            report(done, len(pictures))
        return
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1), mp_context=context) as pool:
        for done, _ in enumerate(pool.map(write, pictures, chunksize=32), 1):
            report(done, len(pictures))


def _write_picture(root: Path, settings: PhantomSettings, picture: _Picture) -> None:
    pixels = _paint_slide(picture.painted_as, settings.size, settings.seed)
    path = root / picture.name.official_folder / f"{picture.name.stem}.png"
    path.write_bytes(encode_png(torch.from_numpy(pixels)).numpy().tobytes())


def _paint_slide(name: ImageName, size: int, seed: int) -> PictureArray:
    """Paint the picture of one official name: uint8 (3, size, W)."""
    rng = _rng(seed, "image", name.stem, size)
    look = paint.draw_look(_rng(seed, "look", name.accession))
    look = paint.vary_look(paint.vary_look(look, _rng(seed, "slide", name.slide), 0.05), rng, 0.04)
    tissue = paint.vary_tissue(_BREAST[name.tumour_type], _rng(seed, "tissue", name.accession), _BETWEEN_ACCESSIONS)
    tissue = paint.vary_tissue(tissue, rng, _WITHIN_ACCESSION)
    return paint.paint_tissue(tissue, look, paint.frame_at(name.magnification, size, round(size * _ASPECT)), rng)


def _write_lung_class(
    root: Path, kind: str, counts: tuple[int, int], size: int, seed: int
) -> list[tuple[str, str, str]]:
    """Write ``counts`` = (tiles, copies) of one class; return the rows of ``groups.csv``."""
    tiles, copies = counts
    (root / _LUNG_TREE / kind).mkdir(parents=True)
    numbers = iter(_rng(seed, "lung", kind).permutation(tiles * copies) + 1)
    rows = []
    for tile in range(tiles):
        rng = _rng(seed, "lung", kind, tile, size)
        picture = paint.paint_tissue(
            paint.vary_tissue(_LUNG[kind], rng, 0.2), paint.draw_look(rng), paint.frame_at(100, size, size), rng
        )
        for symmetry in rng.permutation(8)[:copies]:
            path = _LUNG_TREE / kind / f"{kind.replace('_', '')}{next(numbers)}.jpeg"
            _write_jpeg(root / path, _turn(picture, int(symmetry)))
            rows.append((path.as_posix(), kind, f"{kind}-{tile:04d}"))
    return rows


def _turn(picture: PictureArray, symmetry: int) -> PictureArray:
    """One of the square's eight symmetries: ``symmetry % 4`` quarter turns, mirrored from 4 on."""
    turned = np.rot90(picture, symmetry % 4, axes=(1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if symmetry >= 4 else turned)


_PERIODS = {"coarse": 0.42, "fine": 0.17}
_PATTERNS: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "stripes": lambda u, v: np.sin(u + 0 * v),
    "checks": lambda u, v: 2 * np.sin(u) * np.sin(v),
    "discs": lambda u, v: np.cos(u) + np.cos(v) - 0.6,
    "rings": lambda u, v: np.sin(np.hypot(u, v)),
    "waves": lambda u, v: np.sin(u + 1.6 * np.sin(v)),
    "meshes": lambda u, v: np.maximum(np.cos(u), np.cos(v)) - 0.8,
    "rays": lambda u, v: np.sin(np.arctan2(v, u) * np.rint(0.35 * np.hypot(u, v).max())),
    "blobs": lambda u, v: np.sin(u + np.sin(0.7 * v)) + np.sin(v + 2 * np.sin(0.45 * u)) + 0.3 * np.sin(1.7 * u - v),
}


def _paint_pattern(pattern: str, period: float, size: int, rng: np.random.Generator) -> PictureArray:
    """Paint a pattern in two random colours, shifted, turned and stretched: uint8 (3, size, size)."""
    rows, columns = np.mgrid[-0.5 : 0.5 : size * 1j, -0.5 : 0.5 : size * 1j] + rng.uniform(-0.2, 0.2, (2, 1, 1))
    angle, wavelength = rng.uniform(0, 2 * math.pi), period * rng.uniform(0.85, 1.2)
    turned = (columns + 1j * rows) * np.exp(1j * angle) * 2 * math.pi / wavelength
    share = np.clip(_PATTERNS[pattern](turned.real, turned.imag) * 2.5 + 0.5, 0, 1)
    ink, paper = rng.uniform([[0], [110]], [[150], [255]], (2, 3))[:, :, None, None]
    if rng.random() < 0.5:
        ink, paper = paper, ink
    light = 1 + rng.uniform(-0.4, 0.4) * rows + rng.uniform(-0.4, 0.4) * columns
    picture = (ink * share + paper * (1 - share)) * light + rng.normal(0, 6, (3, size, size))
    pixels: PictureArray = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return pixels


def _rng(*key: object) -> np.random.Generator:
    """A generator that depends on ``key`` alone, whichever process asks and in whatever order."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _write_jpeg(path: Path, picture: PictureArray) -> None:
    path.write_bytes(encode_jpeg(torch.from_numpy(picture), quality=95).numpy().tobytes())


def _require(**numbers: tuple[int, int, int]) -> None:
    """Check each number, given with the least and the greatest that is allowed."""
    for name, (value, low, high) in numbers.items():
        if not low <= value <= high:
            raise UsageError(f"{name} = {value}: must lie between {low} and {high}")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside ``folder`` that takes its place at the end, so that an interruption leaves no half tree."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty - name a new folder, or delete this one first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            new = Path(beside, "new")
            new.mkdir()
            yield new
            if folder.exists():
                folder.rmdir()
            new.rename(folder)
    except OSError as error:
        raise EnvironmentMissingError(f"cannot write {folder}: {error.strerror or error}") from error
