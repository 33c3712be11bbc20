"""Placement of images in the device's or the host's memory."""

from __future__ import annotations

import torch

_SHARE = 0.25  # of the free memory for each set of images; the rest is the network's


def place_on_device(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move images to the device if they take at most a quarter of its free memory; otherwise leave them on the host.

    Args:
        images: uint8 (N, 3, S, S), on the host.
        device: Of the network.
    """
    if images.numel() * images.element_size() <= room_for_images(device):
        return images.to(device)
    return images


def room_for_images(device: torch.device) -> float:
    """How many bytes of images a device takes; without limit on the CPU, where they lie already."""
    return _SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")
