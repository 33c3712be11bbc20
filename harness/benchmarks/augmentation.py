"""Several ways to make normalised batches of turned and mirrored images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torchvision.transforms import v2

from harness.benchmarks.contest import Contestant, repeat
from harness.data.augment import VIEWS, view_images
from harness.training.normalisation import Normalisation

Batch = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Turns uint8 (B, 3, S, S) and views (B,) into float32 (B, 3, S, S), normalised, channels last."""


def augmentation_contestants(images: torch.Tensor, batch: int) -> list[Contestant]:
    """Return several ways to augment and normalise the same images, batch by batch.

    Args:
        images: uint8 (N, 3, S, S).
        batch: Images a batch.
    """
    views = torch.arange(len(images)) % len(VIEWS)
    ways: dict[str, tuple[Batch, str]] = {
        "image by image": (view_by_view, "one of six views an image, then stacked and normalised"),
        "torchvision, image by image": (by_transforms(), "v2 flips drawn for each image, no rotations"),
        "torchvision, whole batch": (by_batch_transforms(), "v2 flips drawn once a batch, no rotations"),
        "grouped by view": (by_groups, "one of six views an image; those of one view at once"),
        "harness": (by_harness, "one of six views an image; one gather, the same kernels whatever the views"),
    }

    def once(way: Batch) -> None:
        for start in range(0, len(images), batch):
            way(images[start : start + batch], views[start : start + batch])

    return [
        Contestant(name, repeat(partial(once, way), len(images)), f"{message}; channels last")
        for name, (way, message) in ways.items()
    ]


def view_by_view(images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Show each image in its view, one after the other."""
    ways = list(VIEWS.values())
    shown = torch.stack([ways[view](image) for image, view in zip(images, views.tolist(), strict=True)])
    return _normalise(shown)


def by_groups(images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Show all images of one view at once."""
    shown = torch.empty_like(images)
    for place, way in enumerate(VIEWS.values()):
        rows = (views == place).nonzero().flatten()
        shown[rows] = way(images[rows])
    return _normalise(shown)


def by_transforms() -> Batch:
    """Return torchvision's flips, drawn for each image, and its normalisation."""
    flips = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()])
    normalise = _transform()

    def way(images: torch.Tensor, _views: torch.Tensor) -> torch.Tensor:
        return _channels_last(normalise(torch.stack([flips(image) for image in images])))

    return way


def by_batch_transforms() -> Batch:
    """Return torchvision's flips, drawn once for the whole batch, and its normalisation."""
    whole = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), _transform()])
    return lambda images, _views: _channels_last(whole(images))


def by_harness(images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Show each image in its view as training does."""
    return Normalisation().apply(view_images(images, views))


def _transform() -> v2.Transform:
    standard = Normalisation()
    return v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(standard.mean, standard.deviation)])


def _normalise(images: torch.Tensor) -> torch.Tensor:
    standard = Normalisation()
    mean, deviation = (torch.tensor(of).view(3, 1, 1) for of in (standard.mean, standard.deviation))
    return _channels_last((images.float() / 255 - mean) / deviation)


def _channels_last(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)
