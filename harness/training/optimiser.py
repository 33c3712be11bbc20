"""SGD with its whole state on the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from harness.errors import UsageError
from harness.plugin_api.schedule import Schedule


class Sgd:
    """SGD with momentum over what a network trains.

    Args:
        network: Parameters without gradients are left out.
        schedule: Rate, momentum and weight decay.
        factors: What the rate is multiplied by, by name of a module; of nested ones the innermost counts. Modules that
            are not named learn at the full rate.

    Raises:
        UsageError: A named module is not in the network.
    """

    def __init__(self, network: nn.Module, schedule: Schedule, factors: Mapping[str, float]) -> None:
        _refuse_unknown(network, factors)
        grouped: dict[float, list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                grouped.setdefault(_factor(name, factors), []).append(parameter)
        self._schedule, self._factors = schedule, list(grouped)
        groups = [
            {"params": parameters, "lr": torch.zeros((), device=parameters[0].device)}
            for parameters in grouped.values()
        ]
        # fused: the only implementation that reads the rate on the device
        self._sgd = torch.optim.SGD(groups, momentum=schedule.momentum, weight_decay=schedule.weight_decay, fused=True)
        if schedule.momentum:
            for parameter in self._parameters():
                self._sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        self.set_rate(schedule.learning_rate)

    @property
    def momentum(self) -> list[torch.Tensor]:
        """The running means of the gradients, one a parameter, in the network's order within each rate."""
        if not self._schedule.momentum:
            return []
        return [self._sgd.state[parameter]["momentum_buffer"] for parameter in self._parameters()]

    def set_rate(self, rate: float) -> None:
        """Set the rate of the modules that learn at the full one."""
        for group, factor in zip(self._sgd.param_groups, self._factors, strict=True):
            group["lr"].fill_(rate * factor)

    def step(self, loss: torch.Tensor) -> None:
        """Go one step down from a loss ()."""
        self._sgd.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._sgd.step()

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self._sgd.param_groups for parameter in group["params"]]


def _factor(parameter: str, factors: Mapping[str, float]) -> float:
    around = [module for module in factors if parameter.startswith(f"{module}.")]
    return factors[max(around, key=len)] if around else 1.0


def _refuse_unknown(network: nn.Module, factors: Mapping[str, float]) -> None:
    known = {name for name, _ in network.named_modules() if name}
    unknown = sorted(set(factors) - known)
    if unknown:
        raise UsageError(f"{type(network).__name__} has no module '{unknown[0]}' to set a learning rate for")
