"""DenseNet-121 and DenseNet-121 with squeeze-and-excitation, the paper's first two networks."""

from __future__ import annotations

from typing import Annotated

import timm
from pydantic import Field
from timm.layers import SEModule
from timm.models.densenet import DenseBlock, DenseLayer, DenseTransition
from torch import Tensor, nn

from harness import Options, TorchModel, hookimpl
from harness.plugin_api.hookspecs import Register

BlockConfig = Annotated[tuple[int, ...], Field(min_length=1, max_length=8)]


class DenseNetOptions(Options):
    """The network's shape; the defaults are DenseNet-121.

    Attributes:
        dropout: Before the classifier (the paper gives the rate, 0.25, but not the place).
        growth_rate: Channels that each dense layer adds.
        block_config: Dense layers in each block.
    """

    dropout: float = Field(0.25, ge=0, lt=1)
    growth_rate: int = Field(32, ge=1)
    block_config: BlockConfig = (6, 12, 24, 16)


class DenseNet(TorchModel):
    """DenseNet (Huang et al., arXiv 1608.06993), from scratch."""

    name = "densenet"
    reproduces = "DenseNet"
    Options = DenseNetOptions

    def build(self, n_classes: int) -> nn.Module:
        """Make timm's DenseNet."""
        return build_densenet(self.options, n_classes)


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
        return add_squeeze_excitation(build_densenet(self.options, n_classes), self.options.reduction)


class SEDenseLayer(DenseLayer):
    """A dense layer whose new features are re-weighted before they join the others."""

    def __init__(self, plain: DenseLayer, reduction: int) -> None:
        growth_rate = plain.conv2.out_channels
        super().__init__(plain.conv1.in_channels, growth_rate, plain.conv1.out_channels // growth_rate)
        self.load_state_dict(plain.state_dict())  # timm initialises whole networks, not layers
        self.se = squeeze_excitation(growth_rate, reduction)

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


def add_squeeze_excitation(network: nn.Module, reduction: int) -> nn.Module:
    """Put an SE module into every dense layer and behind every transition; other tensors keep their names."""
    for stage in network.features.children():
        if isinstance(stage, DenseBlock):
            for name, layer in list(stage.items()):
                stage[name] = SEDenseLayer(layer, reduction)
        elif isinstance(stage, DenseTransition):
            stage.add_module("se", squeeze_excitation(stage.conv.out_channels, reduction))
    return network


def squeeze_excitation(channels: int, reduction: int) -> SEModule:
    """Make an SE module whose hidden width really is ``channels / reduction``.

    timm rounds ``rd_ratio`` up to a multiple of 8, so ratios of 4, 8 and 16 would give 32 channels the same module.
    """
    return SEModule(channels, rd_channels=max(1, channels // reduction))


@hookimpl
def harness_register_models(register: Register) -> None:
    """Offer both networks."""
    register(DenseNet)
    register(SEDenseNet)
