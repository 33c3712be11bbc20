"""An optimiser with its whole state on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from harness.errors import UsageError
from harness.training.recipe import Groups


class Optimiser:
    """What changes the parameters of a network that have gradients.

    Args:
        network: Parameters without gradients are left out.
        factors: What the rate is multiplied by, by name of a module; of nested ones the innermost counts. Modules that
            are not named learn at the full rate.
        make: Makes torch's optimiser from groups of parameters, each with its ``lr``, a tensor.

    Raises:
        UsageError: A named module is not in the network.
    """

    def __init__(
        self, network: nn.Module, factors: Mapping[str, float], make: Callable[[Groups], torch.optim.Optimizer]
    ) -> None:
        _refuse_unknown(network, factors)
        grouped: dict[float, list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                grouped.setdefault(_factor(name, factors), []).append(parameter)
        self._factors = list(grouped)
        self._made = make(
            [
                {"params": parameters, "lr": torch.zeros((), device=parameters[0].device)}
                for parameters in grouped.values()
            ]
        )
        self._make_state()

    @property
    def state(self) -> list[torch.Tensor]:
        """All that a step changes beside the parameters, such as running means of gradients, in a fixed order."""
        kept = [self._made.state[parameter] for group in self._made.param_groups for parameter in group["params"]]
        return [own[name] for own in kept for name in sorted(own) if isinstance(own[name], torch.Tensor)]

    def set_rate(self, rate: float) -> None:
        """Set the rate of the modules that learn at the full one."""
        for group, factor in zip(self._made.param_groups, self._factors, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate * factor)
            else:
                group["lr"] = rate * factor

    def step(self, loss: torch.Tensor) -> None:
        """Go one step down from a loss ()."""
        self._made.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._made.step()

    def _make_state(self) -> None:
        """Have the state made before the first step, which would make it itself: a captured step must find it there."""
        self.set_rate(0.0)
        for group in self._made.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        self._made.step()
        self._made.zero_grad(set_to_none=True)
        for tensor in self.state:
            tensor.zero_()


def _factor(parameter: str, factors: Mapping[str, float]) -> float:
    around = [module for module in factors if parameter.startswith(f"{module}.")]
    return factors[max(around, key=len)] if around else 1.0


def _refuse_unknown(network: nn.Module, factors: Mapping[str, float]) -> None:
    known = {name for name, _ in network.named_modules() if name}
    unknown = sorted(set(factors) - known)
    if unknown:
        raise UsageError(f"{type(network).__name__} has no module '{unknown[0]}' to set a learning rate for")
