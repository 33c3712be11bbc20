"""Benchmark of texture features against plain ways to compute the same ones.

python tests/benchmarks/texture.py [--images 96] [--size 224] [--rounds 5] [--seconds 2] [--out results/benchmarks]

The baselines are no part of the harness, so this is no part of ``harness bench data``; it measures in the same way.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from harness_baselines.lbp_svm import LbpSvmOptions
from harness_baselines.texture import TextureRecipe, texture_features
from numpy.typing import NDArray
from skimage.feature import local_binary_pattern
from threadpoolctl import threadpool_limits

from harness.benchmarks.contest import Contestant, hold, repeat
from harness.benchmarks.images import ImagesResult, decode_all, write_images
from harness.benchmarks.report import images_report, turns
from harness.processes import forkserver
from harness.threads import usable_cores
from harness.training.execution_modes import set_up_process

RADII = LbpSvmOptions().radii
_CHUNK = 4


def plain_features(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Describe one image, uint8 (3, H, W), by scikit-image's patterns of every channel at every radius."""
    histograms = []
    for channel in image:
        for radius in RADII:
            points = 8 * radius
            patterns = local_binary_pattern(channel, points, radius, method="uniform")
            histogram, _ = np.histogram(patterns, bins=np.arange(points + 3), density=True)
            histograms.append(histogram)
    return np.concatenate(histograms)


def contestants(images: NDArray[np.uint8], cores: int) -> list[Contestant]:
    """Return what computes the same features on so many cores."""
    how = f"local_binary_pattern and np.histogram, radii {', '.join(map(str, RADII))}, three channels"
    ours = partial(texture_features, images, TextureRecipe(RADII, "colour"), cores)
    plain = [Contestant("scikit-image loop", repeat(partial(_loop, images), len(images)), how)]
    if cores > 1:
        pool = partial(_pool, images, cores)
        plain = [
            Contestant(
                f"scikit-image, {cores} processes",
                repeat(pool, len(images)),
                f"{how}, ProcessPoolExecutor",
                cores=cores,
            )
        ]
    name = f"lbp-svm, {cores} threads" if cores > 1 else "lbp-svm"
    return [*plain, Contestant(name, repeat(ours, len(images)), "texture_features, the same features", cores=cores)]


def _loop(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.stack([plain_features(image) for image in images])


def _pool(images: NDArray[np.uint8], cores: int) -> NDArray[np.float64]:
    with ProcessPoolExecutor(cores, forkserver(), torch.set_num_threads, (1,)) as pool:
        return np.stack(list(pool.map(plain_features, images, chunksize=_CHUNK)))


@click.command()
@click.option("--images", type=click.IntRange(1), default=96, show_default=True, help="How many are generated.")
@click.option("--size", type=click.IntRange(16), default=224, show_default=True, help="Side in pixels.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True, help="Of a turn.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for texture.md and texture.json.")
def main(images: int, size: int, rounds: int, seconds: float, out: Path | None) -> None:
    """Compute texture features of generated images, as lbp-svm does and in plain ways."""
    set_up_process(threads=1)
    with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
        pixels = decode_all(write_images(Path(scratch, "images"), images), size)
        works = {f"LBP features, {count} cores" if count > 1 else "LBP features": count for count in _counts()}
        results = [
            ImagesResult(work, hold(contestants(pixels, cores), rounds, seconds)) for work, cores in works.items()
        ]
    setting = {"images": f"{images} of {size} x {size} pixels", **turns(rounds, seconds)}
    report = images_report("Texture features, several ways", results, setting)
    if out is not None:
        report.write(out, "texture")
    click.echo(report.to_markdown(), nl=False)


def _counts() -> list[int]:
    return sorted({1, usable_cores()})


if __name__ == "__main__":
    main()
