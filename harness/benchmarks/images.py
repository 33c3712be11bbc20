"""Benchmark of image preparation against plain loops."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torchvision.io import ImageReadMode, decode_image, write_jpeg

from harness.benchmarks.augmentation import augmentation_contestants
from harness.benchmarks.contest import Contestant, Placing, hold
from harness.benchmarks.decoding import (
    Pixels,
    PlainWay,
    by_pillow,
    by_torchvision,
    by_torchvision_with_digests,
    preparing_on_cores,
    preparing_on_one_core,
)
from harness.benchmarks.staining import macenko_by_numpy, macenko_contestants, white_balance_contestants
from harness.data.decode import PixelRecipe
from harness.data.manifest import image_files
from harness.data.stain import PublishedMacenko
from harness.plugin_api.data_set import GeneratedSlide
from harness.synthetic.slides import write_slides
from harness.threads import usable_cores
from harness.training.execution_modes import set_up_process

_HEIGHT = 460  # of BreakHis' files
_JPEG_QUALITY = 90
_BATCH = 32


@dataclass(frozen=True)
class ImagesResult:
    """What was found of one piece of preparation.

    Attributes:
        work: What is done to each image.
        placings: The plain loops' and the harness's.
    """

    work: str
    placings: list[Placing]

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"work": self.work, "placings": [placing.to_json() for placing in self.placings]}


def measure_images(n: int, size: int, rounds: int, seconds: float) -> list[ImagesResult]:
    """Let plain loops and the harness prepare the same generated images of BreakHis' size, in turns.

    Everybody has one thread a process, and one core, or all of them where the work says so.

    Args:
        n: About how many images.
        size: Side of the square that they become, in pixels.
        rounds: How often each has its turn.
        seconds: About how long a turn takes; one pass over the images at least.
    """
    set_up_process(threads=1)
    with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
        files = write_images(Path(scratch, "images"), n)
        works = _works(files, size, Path(scratch))
        return [ImagesResult(work, hold(everybody, rounds, seconds)) for work, everybody in works]


def write_images(folder: Path, n: int) -> list[Path]:
    """Write generated images of BreakHis' size, and return their files."""
    write_slides(folder, [_slide(number) for number in range(n)], _HEIGHT, seed=0)
    return list(image_files(folder))


def write_jpegs(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Write what files show as JPEG, and return these files."""
    folder.mkdir()
    written = [folder / f"{file.stem}.jpg" for file in files]
    for file, jpeg in zip(files, written, strict=True):
        write_jpeg(decode_image(str(file), ImageReadMode.RGB), str(jpeg), _JPEG_QUALITY)
    return written


def decode_all(files: Sequence[Path], size: int) -> Pixels:
    """Return what files show, squashed to a square: uint8 (N, 3, size, size)."""
    return np.stack([by_torchvision(file, size) for file in files])


def _works(files: Sequence[Path], size: int, scratch: Path) -> Iterator[tuple[str, list[Contestant]]]:
    pixels, cores = decode_all(files, size), usable_cores()
    plain, painted = PixelRecipe(size, "squash", None), PixelRecipe(size, "squash", PublishedMacenko())
    unchecked = PlainWay("torchvision", partial(by_torchvision, size=size), "decode_image, resize, no checks")
    digests = partial(by_torchvision_with_digests, size=size)
    checked = PlainWay("torchvision, digests", digests, "the same, sha256 of file and of resized pixels")
    pillow = PlainWay("Pillow", partial(by_pillow, size=size), "ImageFolder's loader, resize, no checks")
    stained = PlainWay("torchvision, NumPy", partial(_decode_and_normalise, size=size), "no checks")
    for kind, written in (("PNG", files), ("JPEG", write_jpegs(scratch / "jpegs", files))):
        everybody = preparing_on_one_core([unchecked, checked, pillow], written, plain, scratch)
        yield f"decode to uint8, {kind}", everybody
    yield "normalise stain (Macenko)", macenko_contestants(list(pixels))
    yield "normalise stain (white balance)", white_balance_contestants(list(pixels))
    yield f"augment and normalise batches of {_BATCH}", augmentation_contestants(torch.from_numpy(pixels), _BATCH)
    if cores > 1:
        everybody = preparing_on_cores([unchecked, checked], files, plain, scratch, cores)
        yield f"decode to uint8, PNG, {cores} cores", everybody
        everybody = preparing_on_cores([stained], files, painted, scratch, cores)
        yield f"decode and normalise stain (Macenko), {cores} cores", everybody


def _decode_and_normalise(file: Path, size: int) -> Pixels:
    return macenko_by_numpy(by_torchvision(file, size))


def _slide(number: int) -> GeneratedSlide:
    group = str(number % 24)
    return GeneratedSlide(f"{number:05d}.png", str(number), group, group, "ductal carcinoma", 200)
