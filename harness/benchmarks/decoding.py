"""Several ways to turn image files into one uint8 array on disk."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torchvision.datasets.folder import pil_loader
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as transforms

from harness.benchmarks.contest import Contestant, repeat
from harness.cache import Cache
from harness.data.decode import PixelRecipe
from harness.data.manifest import sha256_of_files
from harness.data.pixels import pixel_store
from harness.processes import forkserver

Pixels = NDArray[np.uint8]
Prepare = Callable[[Path], Pixels]
"""Turns one file into uint8 (3, size, size)."""

_CHUNK = 16
_GUARDS = "sha256 of file checked, decoder guarded and in helper processes, copies looked for, sealed array"


@dataclass(frozen=True)
class PlainWay:
    """One way to prepare files without the harness.

    Attributes:
        name: Of the library.
        prepare: Turns one file into pixels.
        message: What is done and what is checked.
    """

    name: str
    prepare: Prepare
    message: str


def by_torchvision(file: Path, size: int) -> Pixels:
    """Decode and resize by torchvision; nothing is checked."""
    return _resized(decode_image(str(file), ImageReadMode.RGB), size)


def by_torchvision_with_digests(file: Path, size: int) -> Pixels:
    """Decode and resize by torchvision, and take sha256 of file and pixels as a careful script does."""
    content = file.read_bytes()
    hashlib.sha256(content).hexdigest()
    image = decode_image(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    pixels = _resized(image, size)
    hashlib.sha256(pixels.data).hexdigest()
    return pixels


def by_pillow(file: Path, size: int) -> Pixels:
    """Decode as torchvision's ``ImageFolder`` does, and resize by Pillow; nothing is checked."""
    image = transforms.resize(pil_loader(str(file)), [size, size])
    return _planes(transforms.pil_to_tensor(image))


def preparing_on_one_core(
    ways: Sequence[PlainWay], files: Sequence[Path], recipe: PixelRecipe, scratch: Path
) -> list[Contestant]:
    """Return loops of plain ways in this process, and the harness."""
    loops = [
        Contestant(
            f"loop, {way.name}",
            repeat(partial(_loop, way.prepare, files, scratch / "plain.npy"), len(files)),
            f"{way.message}, np.save",
        )
        for way in ways
    ]
    return [*loops, _harness(files, recipe, scratch, 1)]


def preparing_on_cores(
    ways: Sequence[PlainWay], files: Sequence[Path], recipe: PixelRecipe, scratch: Path, cores: int
) -> list[Contestant]:
    """Return pools of processes that do it in plain ways, and the harness; each starts its processes anew."""
    pools = [
        Contestant(
            f"{cores} processes, {way.name}",
            repeat(partial(_pool, way.prepare, files, scratch / "plain.npy", cores), len(files)),
            f"{way.message}, ProcessPoolExecutor, np.save",
            cores=cores,
        )
        for way in ways
    ]
    return [*pools, _harness(files, recipe, scratch, cores)]


def _harness(files: Sequence[Path], recipe: PixelRecipe, scratch: Path, cores: int) -> Contestant:
    digests = pd.Series(sha256_of_files(list(files)))
    paths = pd.Series([str(file) for file in files])

    def once() -> None:
        with tempfile.TemporaryDirectory(dir=scratch) as cache:
            pixel_store(paths, digests, recipe, Cache(Path(cache), print))

    return Contestant("harness, first run", repeat(once, len(files)), _GUARDS, cores=cores)


def _loop(prepare: Prepare, files: Sequence[Path], target: Path) -> None:
    np.save(target, np.stack([prepare(file) for file in files]))


def _pool(prepare: Prepare, files: Sequence[Path], target: Path, cores: int) -> None:
    with ProcessPoolExecutor(cores, forkserver(), torch.set_num_threads, (1,)) as pool:
        np.save(target, np.stack(list(pool.map(prepare, files, chunksize=_CHUNK))))


def _resized(image: torch.Tensor, size: int) -> Pixels:
    return _planes(transforms.resize(image, [size, size], antialias=True))


def _planes(image: torch.Tensor) -> Pixels:
    """Put channels one behind the other: where they lie side by side, np.stack takes longer than all the rest."""
    planes: Pixels = image.contiguous().numpy()
    return planes
