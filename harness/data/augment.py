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


_STEPS = (
    (False, 1, 1),
    (True, -1, 1),
    (False, -1, -1),
    (True, 1, -1),
    (False, 1, -1),
    (False, -1, 1),
    (True, 1, 1),
    (True, -1, -1),
)
"""Of each symmetry: whether rows become columns, then the steps through rows and through columns."""


def view_images(images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Show each image in the view asked for.

    On other devices than the CPU nothing is asked of the host: the kernels are the same whatever the views are.

    Args:
        images: (N, C, S, S), any dtype and device; square, since rotations by 90 degrees need squares.
        views: int64 (N,) on the same device, each the place of a view in :data:`SYMMETRIES`.

    Returns:
        (N, C, S, S), the same pixels in other places; on the CPU channels last in memory, for bytes.
    """
    if images.device.type == "cpu" and images.dtype == torch.uint8:
        return _copy_views(images, views.tolist())
    places = _places(images.shape[-1], images.device)[views]  # (N, S * S)
    flat = images.flatten(2)
    return flat.gather(2, places.unsqueeze(1).expand_as(flat)).view_as(images)


def _copy_views(images: torch.Tensor, views: list[int]) -> torch.Tensor:
    """Copy channel by channel through NumPy, which walks backwards where torch would make a flipped copy first."""
    shown = torch.empty(images.shape, dtype=images.dtype, memory_format=torch.channels_last)
    for view, image, target in zip(views, images.numpy(), shown.numpy(), strict=True):
        transposed, down, right = _STEPS[view]
        for plane, channel in zip(image, target, strict=True):
            channel[...] = (plane.T if transposed else plane)[::down, ::right]
    return shown


@functools.lru_cache(maxsize=8)
def _places(size: int, device: torch.device) -> torch.Tensor:
    """Where each pixel of each view comes from: int64 (8, size * size)."""
    here = torch.arange(size * size).view(size, size)
    return torch.stack([view(here).flatten() for view in SYMMETRIES.values()]).to(device)
