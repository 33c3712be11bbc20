"""The paper's own model: SE-DenseNet through three stages (natural images, lung histology, BreakHis)."""

from __future__ import annotations

from typing import Literal

from harness_plugins.densenet import SEDenseNetOptions, add_squeeze_excitation, build_densenet
from pydantic import Field
from timm.layers import SEModule
from torch import nn

from harness import Schedule, Stage, TorchModel, hookimpl
from harness.plugin_api.hookspecs import Register

_OPEN_GATE = 4.0  # sigmoid(4) = 0.98

FreezePoint = Literal["none", "stem", "denseblock1", "denseblock2", "denseblock3"]


class DeepTransferOptions(SEDenseNetOptions):
    """The network's shape and its three stages.

    Attributes:
        weights: Stage 1 from a file or ``hub:<timm model>``; null pre-trains on the source set ``natural``.
        natural: Budget of stage 1 where it is trained here.
        lung: Budget of stage 2, on the source set ``lung``.
        freeze: Stages 2 and 3 leave the network as it is from the stem through this block and its transition.
    """

    weights: str | None = None
    natural: Schedule = Schedule(epochs=24)
    lung: Schedule = Schedule(epochs=12)
    freeze: FreezePoint = Field("denseblock2")


class DeepTransfer(TorchModel):
    """SE-DenseNet, pre-trained on natural images, then deep layers on lung histology, then on BreakHis."""

    name = "deep-transfer"
    reproduces = "Ours"
    Options = DeepTransferOptions

    def build(self, n_classes: int) -> nn.Module:
        """Make SE-DenseNet with its gates open.

        Weights of a plain DenseNet know no gates. A gate that starts at random would halve features that the frozen
        layers were trained to hand on, so every gate starts at 0.98 for all channels and learns from there.
        """
        network = add_squeeze_excitation(build_densenet(self.options, n_classes), self.options.reduction)
        for module in network.modules():
            if isinstance(module, SEModule):
                nn.init.zeros_(module.fc2.weight)
                nn.init.constant_(module.fc2.bias, _OPEN_GATE)
        return network

    def initial_weights(self) -> str | None:
        """Stage 1, if it is not trained here."""
        return self.options.weights

    def pretraining(self) -> tuple[Stage, ...]:
        """Stage 1 where no weights are given, and stage 2."""
        natural = () if self.options.weights else (Stage("natural", "natural", self.options.natural),)
        return (*natural, Stage("lung", "lung", self.options.lung, self._shallow()))

    def frozen(self, network: nn.Module) -> tuple[str, ...]:
        """Name the shallow layers."""
        del network
        return self._shallow()

    def _shallow(self) -> tuple[str, ...]:
        if self.options.freeze == "none":
            return ()
        stem = ("features.conv0", "features.norm0")
        last = 0 if self.options.freeze == "stem" else int(self.options.freeze.removeprefix("denseblock"))
        blocks = [(f"features.denseblock{i}", f"features.transition{i}") for i in range(1, last + 1)]
        return stem + tuple(name for pair in blocks for name in pair)


@hookimpl
def harness_register_models(register: Register) -> None:
    """Offer the model."""
    register(DeepTransfer)
