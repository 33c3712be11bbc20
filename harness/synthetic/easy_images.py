"""Images that any model can tell apart, to see whether it works at all."""

from __future__ import annotations

from functools import partial

import torch

from harness.plugin_api.model import LabeledImages, Source

CPU = torch.device("cpu")


def easy_images(count: int, seed: int, size: int, classes: int = 2, device: torch.device = CPU) -> LabeledImages:
    """Return images of stripes, finer in each class and a little brighter: uint8 (count, 3, size, size)."""
    random_numbers = torch.Generator().manual_seed(seed)
    labels = torch.randperm(count, generator=random_numbers) % classes
    rows = torch.arange(size).view(1, 1, size, 1)
    period = (2 + 3 * labels).view(-1, 1, 1, 1)
    stripes = ((rows // period) % 2).expand(-1, 3, -1, size) * 50 + 90 + 40 * labels.view(-1, 1, 1, 1)
    noise = torch.randint(30, (count, 3, size, size), generator=random_numbers)
    return LabeledImages((stripes + noise).clamp(0, 255).to(device, torch.uint8), labels.to(device))


def easy_source(
    name: str, classes: tuple[str, ...], counts: tuple[int, int], size: int, device: torch.device = CPU
) -> Source:
    """Return a source set of such images.

    Args:
        name: Of the set.
        classes: Names of its classes.
        counts: Images to train on, and to validate on.
        size: Side of the images in pixels.
        device: Where images and labels lie.
    """
    train, validation = counts
    return Source(
        classes,
        f"generated {name}",
        "easy",
        train=partial(easy_images, train, 3, size, len(classes), device),
        validation=partial(easy_images, validation, 4, size, len(classes), device),
    )
