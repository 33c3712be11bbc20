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
        mean, deviation = (_on_device(values, images.device) for values in (self.mean, self.deviation))
        return images.to(torch.float32, memory_format=torch.channels_last).sub_(mean).div_(deviation)


@functools.lru_cache(maxsize=16)
def _on_device(values: Channels, device: torch.device) -> torch.Tensor:
    """Values on the scale of uint8, (1, 3, 1, 1); kept, since a captured step must not copy from the host."""
    return torch.tensor(values, device=device).mul_(255).view(1, 3, 1, 1)
