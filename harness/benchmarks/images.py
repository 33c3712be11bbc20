"""Benchmark of image preparation against a naive loop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torchvision.io import decode_image
from torchvision.transforms.v2 import functional as transforms

from harness.benchmarks.contest import Contestant, Placing, hold
from harness.cache import Cache
from harness.data.augment import VIEWS, view_images
from harness.data.decode import PixelRecipe
from harness.data.manifest import image_files, sha256_of_files
from harness.data.pixels import pixel_store
from harness.data.stain import Macenko, StainNormaliser
from harness.plugin_api.data_set import GeneratedSlide
from harness.synthetic.slides import write_slides
from harness.training.normalisation import Normalisation

_HEIGHT = 460  # of BreakHis' files


@dataclass(frozen=True)
class ImagesResult:
    """What was found of one piece of preparation.

    Attributes:
        work: What is done to each image.
        placings: The naive loop's and the harness's.
    """

    work: str
    placings: list[Placing]

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"work": self.work, "placings": [placing.to_json() for placing in self.placings]}


def measure_images(n: int, size: int, rounds: int, seconds: float) -> list[ImagesResult]:
    """Let a naive loop and the harness prepare the same generated images of BreakHis' size, in turns.

    Args:
        n: About how many images.
        size: Side of the square that they become, in pixels.
        rounds: How often each has its turn.
        seconds: About how long a turn takes; one pass over the images at least.
    """
    with tempfile.TemporaryDirectory() as scratch:
        slides = [_slide(number) for number in range(n)]
        write_slides(Path(scratch, "images"), slides, _HEIGHT, seed=0)
        files = list(image_files(Path(scratch, "images")))
        pixels = np.stack([_decode_naively(file, size) for file in files])
        works = {
            "decode to uint8": _decoding(files, size, None, Path(scratch)),
            "decode and normalise stain": _decoding(files, size, Macenko(), Path(scratch)),
            "augment and normalise": _augmenting(pixels),
        }
        return [
            ImagesResult(work, hold([_contestant(*one, len(files)) for one in ways.items()], rounds, seconds))
            for work, ways in works.items()
        ]


def _slide(number: int) -> GeneratedSlide:
    group = str(number % 24)
    return GeneratedSlide(f"{number:05d}.png", str(number), group, group, "ductal carcinoma", 200)


Ways = dict[str, Callable[[], object]]


def _decoding(files: list[Path], size: int, stain: StainNormaliser | None, scratch: Path) -> Ways:
    digests = pd.Series(sha256_of_files(files))
    paths = pd.Series([str(file) for file in files])

    def naive() -> None:
        for file in files:
            pixels = _decode_naively(file, size)
            if stain is not None:
                stain(pixels)

    def ours() -> None:
        with _empty_folder(scratch) as cache:
            pixel_store(paths, digests, PixelRecipe(size, "squash", stain), Cache(cache, print))

    return {"naive loop": naive, "harness, first run": ours}


def _augmenting(pixels: NDArray[np.uint8]) -> Ways:
    images, normalisation = torch.from_numpy(pixels), Normalisation()
    views = torch.arange(len(images)) % len(VIEWS)
    ways = list(VIEWS.values())
    mean, deviation = (torch.tensor(of).view(3, 1, 1) for of in (normalisation.mean, normalisation.deviation))

    def naive() -> torch.Tensor:
        shown = [ways[view](image) for image, view in zip(images, views, strict=True)]
        return torch.stack([(image.float() / 255 - mean) / deviation for image in shown])

    def ours() -> torch.Tensor:
        return normalisation.apply(view_images(images, views))

    return {"naive loop": naive, "harness": ours}


def _decode_naively(file: Path, size: int) -> NDArray[np.uint8]:
    image = transforms.resize(decode_image(str(file)), [size, size], antialias=True)
    pixels: NDArray[np.uint8] = image.numpy()
    return pixels


def _contestant(name: str, once: Callable[[], object], images: int) -> Contestant:
    def images_per_second(seconds: float) -> float:
        started, passes = time.perf_counter(), 0
        while passes == 0 or time.perf_counter() - started < seconds:
            once()
            passes += 1
        return passes * images / (time.perf_counter() - started)

    return Contestant(name, images_per_second, 0.0)


@contextmanager
def _empty_folder(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)
