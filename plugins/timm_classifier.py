"""Any image classifier of timm's: ``timm:resnet18`` in a config."""

from __future__ import annotations

from typing import Any, Literal

import timm
from pydantic import Field
from torch import nn

from harness import Normalisation, Register, TorchModel, TrainingOptions, hookimpl


class TimmOptions(TrainingOptions):
    """Which network, and how it is trained.

    Attributes:
        name: As timm lists it, such as ``resnet18`` or ``tf_efficientnet_lite0``.
        weights: A file of its weights, ``hub`` for timm's own, ``hub:<another tag>``, or null for none.
        mode: ``finetune`` all layers, or train the classifier alone, a linear ``probe``.
        dropout: Before the classifier.
        fresh: Whether the frozen layers of a probe may have no weights: ``allowed`` gives features at random.
        arguments: Further keyword arguments of ``timm.create_model``.
    """

    name: str
    weights: str | None = None
    mode: Literal["finetune", "probe"] = "finetune"
    dropout: float = 0.0
    fresh: Literal["refused", "allowed"] = "refused"
    arguments: dict[str, Any] = Field(default_factory=dict)


class TimmClassifier(TorchModel):
    """A network of timm's."""

    name = "timm"
    Options = TimmOptions

    def __init__(self, options: TimmOptions) -> None:
        super().__init__(options)
        known = timm.get_pretrained_cfg(options.name)
        if known is not None:
            self.normalisation = Normalisation(tuple(known.mean), tuple(known.std))

    def build(self, n_classes: int) -> nn.Module:
        """Make the network without downloading anything."""
        options = self.options
        network = timm.create_model(
            options.name, num_classes=n_classes, drop_rate=options.dropout, pretrained=False, **options.arguments
        )
        if options.mode == "probe":  # parameters that no module holds, such as a class token, included
            network.requires_grad_(requires_grad=False)
            network.get_submodule(self.head(network)).requires_grad_(requires_grad=True)
        return network

    def initial_weights(self) -> str | None:
        """Return the file, or the name of timm's own weights."""
        return f"hub:{self.options.name}" if self.options.weights == "hub" else self.options.weights

    def frozen(self, network: nn.Module) -> tuple[str, ...]:
        """Everything but the classifier, if it is a probe."""
        return tuple(_beside(network, self.head(network))) if self.options.mode == "probe" else ()


def _beside(network: nn.Module, head: str) -> list[str]:
    """Name the largest modules that do not contain the head."""
    names: list[str] = []
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in names)
        if name and not inside and module is not network and not f"{head}.".startswith(f"{name}."):
            names.append(name)
    return names


@hookimpl
def harness_register_models(register: Register) -> None:
    """Offer the model."""
    register(TimmClassifier)
