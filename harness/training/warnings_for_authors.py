"""Warnings about networks that do not train as they look."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_TOLERANCE = 1e-4


def find_oddities(network: nn.Module, frozen: Sequence[str], images: torch.Tensor) -> list[str]:
    """Look for what would mislead without a word.

    Args:
        network: As it starts.
        frozen: Names of its modules that training leaves as they are.
        images: float32 (N, 3, S, S), normalised, on the network's device.

    Returns:
        One line each.
    """
    return [*_softmax(network, images), *_moving_statistics(network, frozen)]


def _softmax(network: nn.Module, images: torch.Tensor) -> list[str]:
    with torch.no_grad():
        rows = network.eval()(images)
    if bool((rows >= 0).all()) and bool((rows.sum(1) - 1).abs().max() < _TOLERANCE):
        return [
            "its network returns probabilities, rows that sum to 1; a softmax follows, so build() must return logits, "
            "or every gradient is small and no prediction sure"
        ]
    return []


def _moving_statistics(network: nn.Module, frozen: Sequence[str]) -> list[str]:
    def still(name: str) -> bool:
        return any(f"{name}.".startswith(f"{module}.") for module in frozen)

    moving = [
        name
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and module.affine and not still(name)
        if not any(parameter.requires_grad for parameter in module.parameters())
    ]
    if not moving:
        return []
    return [
        f"{len(moving)} batch-norm layers have no gradients, {moving[0]} among them, and yet their statistics move "
        "with every batch; what is to stay as it is has to be named in frozen()"
    ]
