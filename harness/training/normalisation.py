"""Input normalisation."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel, on the scale from 0 to 1."""

    mean: Channels = (0.485, 0.456, 0.406)
    deviation: Channels = (0.229, 0.224, 0.225)

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 (N, 3, H, W) into normalised float32, channels last in memory."""
        pixels = images.permute(0, 2, 3, 1).to(torch.float32, memory_format=torch.contiguous_format)
        n, _, height, width = images.shape
        mean, deviation = (_row_of(values, width, images.device) for values in (self.mean, self.deviation))
        pixels.view(n, height, 3 * width).sub_(mean).div_(deviation)
        return pixels.permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=16)
def _row_of(values: Channels, width: int, device: torch.device) -> torch.Tensor:
    """Values on the scale of uint8 for each pixel of a row, (3 * width,): three at a time would be no vector.

    They are kept, since a captured step must not copy from the host.
    """
    return torch.tensor(values, device=device).mul_(255).repeat(width)
