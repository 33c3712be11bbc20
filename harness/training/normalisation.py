"""How pixels become a network's input."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel, on the scale from 0 to 1."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 (N, 3, H, W) into normalised float32, channels last in memory."""
        mean, deviation = (
            torch.tensor(values, device=images.device).mul_(255).view(1, 3, 1, 1)
            for values in (self.mean, self.deviation)
        )
        return images.to(torch.float32, memory_format=torch.channels_last).sub_(mean).div_(deviation)
