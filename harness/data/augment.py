"""The paper's five augmentations, with the original: six views of an image, each a permutation of its pixels.

Rotations by 90, 180 and 270 degrees, horizontal flip, vertical flip (arXiv 2404.09226, section on preprocessing).
"""

from __future__ import annotations

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


def view_images(images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Show each image in the view asked for.

    Args:
        images: (N, C, S, S), any dtype and device; square, since rotations by 90 degrees need squares.
        views: int64 (N,), each 0 to 5, the place in :data:`VIEWS`.

    Returns:
        (N, C, S, S), the same pixels in other places.
    """
    seen = torch.empty_like(images)
    for number, view in enumerate(VIEWS.values()):
        chosen = views == number
        seen[chosen] = view(images[chosen])
    return seen
