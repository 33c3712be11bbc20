"""DenseNet-121 and DenseNet-121 with squeeze-and-excitation, the paper's first two networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import timm
import torch
from pydantic import Field
from timm.layers import SEModule
from timm.models.densenet import DenseBlock, DenseLayer, DenseTransition
from torch import Tensor, nn

from harness import Register, TorchModel, TrainingOptions, hookimpl

_PAPER_DROPOUT, _PAPER_RATE, _DENSENET_121 = 0.25, 0.01, (32, (6, 12, 24, 16))
MakeGate = Callable[[int, int], SEModule]
BlockConfig = Annotated[tuple[int, ...], Field(min_length=1, max_length=8)]


class DenseNetOptions(TrainingOptions):
    """The network's shape, and how it is trained; the defaults are DenseNet-121 under the run's schedule.

    Attributes:
        dropout: Before the classifier (the paper gives the rate, 0.25, but not the place).
        growth_rate: Channels that each dense layer adds.
        block_config: Dense layers in each block.
    """

    dropout: float = Field(0.25, ge=0, lt=1)
    growth_rate: int = Field(32, ge=1)
    block_config: BlockConfig = (6, 12, 24, 16)

    def deviations(self) -> tuple[str, ...]:
        """Name what is not as in the paper: DenseNet-121 by its size, dropout 0.25."""
        shape = self.growth_rate, self.block_config
        return (
            *((f"growth rate {shape[0]} and blocks {shape[1]}",) if shape != _DENSENET_121 else ()),
            *((f"dropout {self.dropout:g}",) if self.dropout != _PAPER_DROPOUT else ()),
            *((f"learning rate {self.learning_rate:g}",) if self.learning_rate not in {None, _PAPER_RATE} else ()),
        )


class DenseNet(TorchModel):
    """DenseNet (Huang et al., arXiv 1608.06993), from scratch."""

    name = "densenet"
    reproduces = "DenseNet"
    Options = DenseNetOptions

    def build(self, n_classes: int) -> nn.Module:
        """Make timm's DenseNet."""
        return build_densenet(self.options, n_classes)

    def deviations(self) -> tuple[str, ...]:
        """Compare the options with the paper's recipe."""
        return self.options.deviations()


class SEDenseNetOptions(DenseNetOptions):
    """The network's shape.

    Attributes:
        reduction: Channels to hidden channels in every squeeze-and-excitation module (16 in arXiv 1709.01507).
    """

    reduction: int = Field(16, ge=1)


class SEDenseNet(TorchModel):
    """DenseNet with squeeze-and-excitation as in figure 6 of arXiv 2404.09226, from scratch."""

    name = "densenet-se"
    reproduces = "DenseNet + SE"
    Options = SEDenseNetOptions

    def build(self, n_classes: int) -> nn.Module:
        """Make timm's DenseNet and add timm's SE modules to it."""
        return add_squeeze_excitation(
            build_densenet(self.options, n_classes), self.options.reduction, squeeze_excitation
        )

    def deviations(self) -> tuple[str, ...]:
        """Compare the options with the paper's recipe, which does not tell the reduction."""
        return self.options.deviations()

    def inspect(self, network: nn.Module, images: Tensor) -> Mapping[str, float]:
        """Tell how far the gates differ between channels."""
        return gate_spread(network, images)


class OpenGate(nn.Module):
    """Twice a sigmoid: exactly one at zero, where its slope is 0.5."""

    def forward(self, x: Tensor) -> Tensor:
        """Return 2 sigmoid(x), 0 to 2."""
        return 2 * x.sigmoid()


class Contrast(nn.Module):
    """Each hidden unit minus its mirror image: SiLU(x) - SiLU(x) from the last channel to the first."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, hidden, 1, 1) of the same shape; all zero where mirrored units are equal."""
        activated = nn.functional.silu(x)
        return activated - activated.flip(1)


class SEDenseLayer(DenseLayer):
    """A dense layer whose new features are re-weighted before they join the others."""

    def __init__(self, plain: DenseLayer, se: SEModule) -> None:
        growth_rate = plain.conv2.out_channels
        super().__init__(plain.conv1.in_channels, growth_rate, plain.conv1.out_channels // growth_rate)
        self.load_state_dict(plain.state_dict())  # timm initialises whole networks, not layers
        self.se = se

    def forward(self, x: Tensor | list[Tensor]) -> Tensor:
        """Return the re-weighted new features: (N, growth_rate, h, w)."""
        return self.se(super().forward(x))


def build_densenet(options: DenseNetOptions, n_classes: int) -> nn.Module:
    """Make timm's DenseNet in the shape of the options."""
    return timm.create_model(
        "densenet121",
        num_classes=n_classes,
        drop_rate=options.dropout,
        growth_rate=options.growth_rate,
        block_config=options.block_config,
    )


def add_squeeze_excitation(network: nn.Module, reduction: int, make: MakeGate) -> nn.Module:
    """Put an SE module into every dense layer and behind every transition; other tensors keep their names.

    Args:
        network: timm's DenseNet.
        reduction: Channels to hidden channels.
        make: Makes a module from the number of channels and the reduction.
    """
    for stage in network.features.children():
        if isinstance(stage, DenseBlock):
            for name, layer in list(stage.items()):
                stage[name] = SEDenseLayer(layer, make(layer.conv2.out_channels, reduction))
        elif isinstance(stage, DenseTransition):
            stage.add_module("se", make(stage.conv.out_channels, reduction))
    return network


def squeeze_excitation(channels: int, reduction: int) -> SEModule:
    """Make an SE module whose hidden width really is ``channels / reduction``.

    timm rounds ``rd_ratio`` up to a multiple of 8, so ratios of 4, 8 and 16 would give 32 channels the same module.
    """
    return SEModule(channels, rd_channels=max(1, channels // reduction))


def open_squeeze_excitation(channels: int, reduction: int) -> SEModule:
    """Make an SE module that starts at exactly one for every channel, and learns from the first step.

    Zero weights behind the hidden units would do for the start and hardly ever leave it: both layers wait for each
    other (docs/decisions/0015-gates-that-learn.md). Here hidden units start as mirror images of each other, so that
    their contrasts are zero, and the weights behind them at random, so that every unit has a gradient.
    """
    hidden = max(2, 2 * (channels // (2 * reduction)))
    module = SEModule(channels, rd_channels=hidden, act_layer=Contrast, gate_layer=OpenGate)
    with torch.no_grad():
        for parameter in module.fc1.parameters():
            parameter[hidden // 2 :] = parameter[: hidden // 2].flip(0)
        module.fc2.bias.zero_()
    return module


def gate_spread(network: nn.Module, images: Tensor) -> dict[str, float]:
    """Measure how far the gates of the trained SE modules differ between channels.

    Args:
        network: With SE modules; in evaluation mode.
        images: float32 (N, 3, S, S), normalised.

    Returns:
        By block or transition that holds trained gates: the standard deviation of a module's factors over its channels,
        averaged over images and modules. 0 is a gate that treats all channels alike.
    """
    spreads: dict[str, list[float]] = {}

    def note(part: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda _module, _inputs, factors: spreads.setdefault(part, []).append(
            float(factors.flatten(1).std(dim=1).mean())
        )

    trained = [
        (name.split(".")[1], module)
        for name, module in network.named_modules()
        if isinstance(module, SEModule) and any(parameter.requires_grad for parameter in module.parameters())
    ]
    hooks = [module.gate.register_forward_hook(note(part)) for part, module in trained]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {f"gate spread {part}": sum(found) / len(found) for part, found in spreads.items()}


@hookimpl
def harness_register_models(register: Register) -> None:
    """Offer both networks."""
    register(DenseNet)
    register(SEDenseNet)
