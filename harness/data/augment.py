"""Views of an image: rotations and flips, each a permutation of its pixels.

The paper's five augmentations, with the original, are six views: rotations by 90, 180 and 270 degrees, horizontal flip,
vertical flip (arXiv 2404.09226, section on preprocessing). The two flips along the diagonals complete the symmetries of
the square; predictions may be averaged over all eight.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "original": lambda images: images,
    "rotation 90": lambda images: images.rot90(1, (-2, -1)),
    "rotation 180": lambda images: images.rot90(2, (-2, -1)),
    "rotation 270": lambda images: images.rot90(3, (-2, -1)),
    "horizontal flip": lambda images: images.flip(-1),
    "vertical flip": lambda images: images.flip(-2),
}
"""The six views that networks are trained on."""

SYMMETRIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    **VIEWS,
    "transposition": lambda images: images.transpose(-2, -1),
    "anti-transposition": lambda images: images.rot90(2, (-2, -1)).transpose(-2, -1),
}
"""The six views and the two that are missing to all symmetries of the square."""


def view_images(images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Show each image in the view asked for, without asking the host: the kernels are the same whatever the views are.

    Args:
        images: (N, C, S, S), any dtype and device; square, since rotations by 90 degrees need squares.
        views: int64 (N,) on the same device, each the place of a view in :data:`SYMMETRIES`.

    Returns:
        (N, C, S, S), the same pixels in other places.
    """
    places = _places(images.shape[-1], images.device)[views]  # (N, S * S)
    flat = images.flatten(2)
    return flat.gather(2, places.unsqueeze(1).expand_as(flat)).view_as(images)


@functools.lru_cache(maxsize=8)
def _places(size: int, device: torch.device) -> torch.Tensor:
    """Where each pixel of each view comes from: int64 (8, size * size)."""
    here = torch.arange(size * size).view(size, size)
    return torch.stack([view(here).flatten() for view in SYMMETRIES.values()]).to(device)
