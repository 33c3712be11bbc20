"""The refusal of frozen layers without weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from harness.errors import UsageError

_STATISTICS = ("running_mean", "running_var")


def refuse_fresh_frozen(network: nn.Module, fresh: Sequence[str], frozen: Sequence[str], images: torch.Tensor) -> None:
    """Refuse to freeze what has never been trained, unless it hands on what it is given.

    A gate that starts at one changes nothing in the network that the weights are of, so it may stay as it is.

    Args:
        network: As it starts, on any device.
        fresh: Names of its tensors that no weights were loaded into.
        frozen: Names of its modules that training leaves as they are.
        images: float32 (N, 3, S, S), normalised, on the network's device.

    Raises:
        UsageError: A frozen module has fresh tensors; the first is named.
    """
    learned = {name for name, _ in network.named_parameters()}
    held = [
        name
        for name in fresh
        if (name in learned or name.endswith(_STATISTICS)) and any(name.startswith(f"{module}.") for module in frozen)
    ]
    if not held:
        return
    idle = _identities(network, images)
    random = [name for name in held if not any(name.startswith(f"{module}.") for module in idle)]
    if random:
        raise UsageError(
            f"frozen layers would stay random: no weights are loaded into {random[0]}"
            + (f" and {len(random) - 1} more tensors" if len(random) > 1 else "")
            + " - give the weights that they are to keep, freeze less, or say fresh: allowed in the options if random "
            "features are what is wanted"
        )


def _identities(network: nn.Module, images: torch.Tensor) -> set[str]:
    """Name the modules that return their input, but for rounding: two equal rows of a layer may be summed in turn."""
    names = {module: name for name, module in network.named_modules() if name}
    idle: set[str] = set()

    def compare(module: nn.Module, given: tuple[Any, ...], returned: Any) -> None:
        if isinstance(returned, torch.Tensor) and len(given) == 1 and isinstance(given[0], torch.Tensor):
            same = given[0].shape == returned.shape and torch.allclose(given[0], returned, rtol=1e-6, atol=0)
            (idle.add if same else idle.discard)(names[module])

    hooks = [module.register_forward_hook(compare) for module in names]
    training = network.training
    try:
        network.eval()
        with torch.no_grad():
            network(images)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return idle
