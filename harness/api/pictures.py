"""Small pictures of a run's images for a report: as photographed, as the models saw them, what a network looked at."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torchvision.io import encode_jpeg
from torchvision.transforms.v2 import functional as transforms

from harness.cache import Cache
from harness.data.decode import PixelRecipe, decode, decode_bytes, read_image_file
from harness.data.pixels import open_array
from harness.data.stain import PER_IMAGE
from harness.errors import DataError, HarnessError
from harness.locations import cache_folder, data_folder
from harness.planning.decoded_run import decoded_as_run
from harness.planning.image_set import Progress, find_images
from harness.processes import map_strange
from harness.reporting.gallery import ShownImage
from harness.reporting.report.section import Gallery, Picture
from harness.reporting.results import Results
from harness.store.explanations import read_explanation

_SIDE = 160
_QUALITY = 78
_ABSOLUTE = re.compile(r"(?<![\w.])/[^\s:']+")
_MOST_HEAT = 0.6  # of an overlay's colour where it is strongest, so that the tissue stays to be seen

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Source:
    """What one picture is made of.

    Attributes:
        file: The image.
        sha256: Of the file that the run saw.
        recipe: How the models saw it.
        seen: uint8 (3, S, S), where other images had a say in that; None where the recipe is all.
        heat: A PNG of what a network looked at, or None.
    """

    file: Path
    sha256: str
    recipe: PixelRecipe
    seen: Pixels | None
    heat: bytes | None


def gallery(folder: Path, results: Results, chosen: Sequence[ShownImage], cache: Cache, tell: Progress) -> Gallery:
    """Make the pictures of a run's chosen images; where the images are not there, say so instead.

    Args:
        folder: Of the run.
        results: What it has found.
        chosen: The images.
        cache: The cache.
        tell: Is told of images that must be generated or decoded first.
    """
    if not chosen:
        return Gallery(reason="No model has an image to show: each looks at no tissue, or says the same of all images.")
    try:
        sources = _sources(folder, results, chosen, cache, tell)
        pictures = list(map_strange(_picture, sources, lambda source: str(source.file)))
    except (HarnessError, RuntimeError) as error:
        return Gallery(reason=f"No images: they are no part of a run folder, and {_without_folders(error, results)}")
    return Gallery(dict(zip(chosen, pictures, strict=True)))


def _sources(
    folder: Path, results: Results, chosen: Sequence[ShownImage], cache: Cache, tell: Progress
) -> list[_Source]:
    config, images = results.run.config, results.images.set_index("name")
    place, size = find_images(config.data, cache, tell), config.pixels
    recipe = PixelRecipe(size.size, size.resize, PER_IMAGE.get(size.stain))
    seen = _seen_by_fold(results, chosen, cache, tell) if size.stain in {"fitted", "slide"} else {}
    keys = {name: cell.key for name, cell in results.cells.items()}
    return [
        _Source(
            place / images.loc[one.image, "file"],
            images.loc[one.image, "sha256"],
            recipe,
            seen.get(one),
            _heat(folder, one, keys[one.cell.name]),
        )
        for one in chosen
    ]


def _seen_by_fold(
    results: Results, chosen: Sequence[ShownImage], cache: Cache, tell: Progress
) -> Mapping[ShownImage, Pixels]:
    """Return images as their fold's models saw them, where colours depend on what stands on the sides of a fold."""
    division, decoded = decoded_as_run(results.run.config, results.manifest, results.splits, cache, tell)
    table = division.images.set_index("name", drop=False)
    found = {}
    for one in chosen:
        rows = decoded.rows(one.seed, one.fold, pd.DataFrame(table.loc[[one.image]]))
        found[one] = np.array(open_array(rows.array_file)[rows.rows[0]])
    return found


def _picture(source: _Source) -> Picture:
    content = read_image_file(source.file)
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise DataError(f"{source.file.name} is not the file that the run saw")
    seen = decode(content, source.recipe).pixels if source.seen is None else source.seen
    return Picture(
        _address(_small(decode_bytes(content))),
        _address(_small(torch.from_numpy(seen))),
        None if source.heat is None else _address(_small(_overlay(seen, decode_bytes(source.heat)))),
    )


def _small(image: torch.Tensor) -> torch.Tensor:
    """Scale uint8 (3, H, W) down until its short side is that of the gallery."""
    short = min(image.shape[1:])
    scaled: torch.Tensor = transforms.resize(image, [_SIDE], antialias=True) if short > _SIDE else image
    return scaled


def _overlay(seen: Pixels, heat: torch.Tensor) -> torch.Tensor:
    """Lay a heat map, uint8 (3, H, W), over an image: uint8 (3, S, S)."""
    scaled = transforms.resize(heat[:1], list(seen.shape[1:]), antialias=True)[0].numpy() / 255  # (S, S)
    colours = mpl.colormaps["inferno"](scaled)[..., :3].transpose(2, 0, 1)
    share = _MOST_HEAT * scaled
    return torch.from_numpy((seen * (1 - share) + 255 * colours * share).astype(np.uint8))


def _address(image: torch.Tensor) -> str:
    encoded = encode_jpeg(image.contiguous(), _QUALITY).numpy().tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"


def _without_folders(error: Exception, results: Results) -> str:
    """Return why there are none, without the folders of the machine: a report is sent to others."""
    words = str(error).partition(" - ")[0]
    for folder in (
        results.run.config.data.folder,
        data_folder() / results.run.config.data.set,
        data_folder(),
        cache_folder(),
    ):
        words = words.replace(f"{folder}/", "").replace(str(folder), "their folder") if folder else words
    return f"{_ABSOLUTE.sub(lambda found: Path(found[0]).name, words)}."


def _heat(folder: Path, one: ShownImage, key: str) -> bytes | None:
    """Return the overlay of an image; one that cannot be read is none."""
    try:
        return read_explanation(folder, one.cell.name, key, one.image)
    except DataError:
        return None
