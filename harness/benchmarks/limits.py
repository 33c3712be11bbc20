"""Limit that the bandwidth of memory sets to training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from harness.training.auto import resolve_precision
from harness.training.concurrent import TrainingSpec, train_for

_COPY_BYTES = 1 << 28
_COPY_SECONDS = 0.5


def megabytes_per_image(order: TrainingSpec) -> float:
    """Count what the leaf modules of one forward pass of an order's network take in and give out, for one image."""
    network = order.make().build(order.n_classes).eval()
    elements = 0

    def count(_module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal elements
        elements += sum(tensor.numel() for tensor in _tensors([inputs, output]))

    for module in network.modules():
        if not any(True for _ in module.children()):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, order.size, order.size))
    width = 2 if resolve_precision(order.schedule.precision, torch.device(order.device).type) == "bf16" else 4
    return elements * width / 1e6


def _tensors(nested: Any) -> Iterator[torch.Tensor]:
    if isinstance(nested, torch.Tensor):
        yield nested
    elif isinstance(nested, list | tuple):
        for part in nested:
            yield from _tensors(part)


def bytes_per_second(device: torch.device) -> float:
    """Measure how fast memory is copied, counting bytes read and written."""
    source = torch.zeros(_COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    steps, took = train_for(lambda: target.copy_(source), _COPY_SECONDS, device)
    return 2 * _COPY_BYTES * steps / took
