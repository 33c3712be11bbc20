"""Generated stand-ins for the sets that models are pre-trained on: lung histology and natural images."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness.errors import UsageError
from harness.synthetic import painting as paint
from harness.synthetic.files import keyed_rng, new_folder, write_jpeg
from harness.synthetic.painting import FloatArray, PictureArray, Tissue

_LUNG_TREE = Path("lung_colon_image_set/lung_image_sets")

# Each row: glands, lumen, wall, solid, crowding, nucleus, variety, roughness, spindles.
_LUNG = {
    "lung_aca": Tissue(0.70, 2.6, 3.2, 0.20, 1.10, 1.30, 0.28, 0.20, 1.0),
    "lung_n": Tissue(0.95, 6.0, 1.1, 0.02, 0.60, 0.90, 0.15, 0.08, 0.6),
    "lung_scc": Tissue(0.02, 2.0, 2.4, 0.75, 0.90, 1.40, 0.30, 0.18, 0.8),
}


def write_synthetic_lung(folder: Path, tiles: int = 40, copies: int = 3, size: int = 64, seed: int = 0) -> int:
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
    with new_folder(folder) as new:
        rows = [row for kind in _LUNG for row in _write_lung_class(new, kind, (tiles, copies), size, seed)]
        with (new / "groups.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("path", "class", "tile"), *rows])
    return len(rows)


def write_synthetic_natural(folder: Path, classes: int = 4, images: int = 40, size: int = 64, seed: int = 0) -> int:
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
    with new_folder(folder) as new:
        for kind, pattern, period in kinds[:classes]:
            (new / kind).mkdir()
            for number in range(1, images + 1):
                picture = _paint_pattern(pattern, period, size, keyed_rng(seed, "natural", kind, number, size))
                write_jpeg(new / kind / f"{number}.jpg", picture)
    return classes * images


def _write_lung_class(
    root: Path, kind: str, counts: tuple[int, int], size: int, seed: int
) -> list[tuple[str, str, str]]:
    """Write ``counts`` = (tiles, copies) of one class; return the rows of ``groups.csv``."""
    tiles, copies = counts
    (root / _LUNG_TREE / kind).mkdir(parents=True)
    numbers = iter(keyed_rng(seed, "lung", kind).permutation(tiles * copies) + 1)
    rows = []
    for tile in range(tiles):
        rng = keyed_rng(seed, "lung", kind, tile, size)
        picture = paint.paint_tissue(
            paint.vary_tissue(_LUNG[kind], rng, 0.2), paint.draw_look(rng), paint.frame_at(100, size, size), rng
        )
        for symmetry in rng.permutation(8)[:copies]:
            path = _LUNG_TREE / kind / f"{kind.replace('_', '')}{next(numbers)}.jpeg"
            write_jpeg(root / path, _turn(picture, int(symmetry)))
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


def _require(**numbers: tuple[int, int, int]) -> None:
    """Check each number, given with the least and the greatest that is allowed."""
    for name, (value, low, high) in numbers.items():
        if not low <= value <= high:
            raise UsageError(f"{name} = {value}: must lie between {low} and {high}")
