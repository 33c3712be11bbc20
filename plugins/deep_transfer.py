"""The paper's own model: SE-DenseNet through three stages (natural images, lung histology, BreakHis)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from harness_plugins.densenet import (
    DenseNetOptions,
    add_squeeze_excitation,
    build_densenet,
    gate_spread,
    open_squeeze_excitation,
)
from pydantic import Field
from torch import Tensor, nn

from harness import Register, Schedule, Stage, TorchModel, TrainingOptions, hookimpl

FreezePoint = Literal["none", "stem", "denseblock1", "denseblock2", "denseblock3", "denseblock4"]


_NOT_SHALLOW = ("none", "denseblock4")


class DeepTransferOptions(DenseNetOptions):
    """The network's shape and its three stages.

    Attributes:
        reduction: Channels to hidden channels in every squeeze-and-excitation module; null builds the plain DenseNet.
        weights: Stage 1 from a file, ``package:<distribution>`` or ``hub:<timm model>``; null pre-trains on the source
            set ``natural``.
        natural: Budget of stage 1 where it is trained here; null leaves the stage out.
        lung: Budget of stage 2, on the source set ``lung``; null leaves the stage out.
        lung_freeze: Stage 2 leaves the network as it is from the stem through this block and what follows it.
        freeze: The same for stage 3. What no stage has trained yet is never frozen.
        layer_decay: Stage 3 multiplies the learning rate by this once for every block between a layer and the
            classifier.
        fresh: Whether layers that no stage has trained may be frozen: ``allowed`` gives features at random.
    """

    reduction: int | None = Field(16, ge=1)
    weights: str | None = None
    natural: Schedule | None = Schedule(epochs=24)
    lung: Schedule | None = Schedule(epochs=12)
    lung_freeze: FreezePoint = "denseblock2"
    freeze: FreezePoint = "denseblock2"
    layer_decay: float = Field(1.0, gt=0, le=1)
    fresh: Literal["refused", "allowed"] = "refused"


class DeepTransfer(TorchModel):
    """SE-DenseNet, pre-trained on natural images, then deep layers on lung histology, then on BreakHis."""

    name = "deep-transfer"
    reproduces = "Ours"
    Options = DeepTransferOptions

    def build(self, n_classes: int) -> nn.Module:
        """Make SE-DenseNet with its gates open.

        Weights of a plain DenseNet know no gates. A gate that starts at random would halve features that the frozen
        layers were trained to hand on, so every gate starts at exactly one for all channels and learns from there.
        """
        network = build_densenet(self.options, n_classes)
        if self.options.reduction is None:
            return network
        return add_squeeze_excitation(network, self.options.reduction, open_squeeze_excitation)

    def stage_options(self) -> Mapping[str, Any]:
        """Return what makes the network: the rest are settings of one stage or of the training on BreakHis."""
        network = {"growth_rate", "block_config", "dropout", "reduction"}
        return self.options.model_dump(mode="json", include={*network, *TrainingOptions.model_fields})

    def initial_weights(self) -> str | None:
        """Stage 1, if it is not trained here."""
        return self.options.weights

    def pretraining(self) -> tuple[Stage, ...]:
        """Stage 1 where it is trained here, and stage 2."""
        natural, lung = self.options.natural, self.options.lung
        first = () if self.options.weights or natural is None else (Stage("natural", "natural", natural),)
        started = self.options.weights is not None or bool(first)
        frozen = self._through(self.options.lung_freeze) if started else ()
        second = () if lung is None else (Stage("lung", "lung", lung, frozen),)
        return (*first, *second)

    def frozen(self, network: nn.Module) -> tuple[str, ...]:
        """Name the shallow layers."""
        del network
        return self._through(self.options.freeze) if self.options.weights or self.pretraining() else ()

    def rates(self, network: nn.Module) -> Mapping[str, float]:
        """Let layers learn the slower the further they are from the classifier."""
        del network
        parts = self._parts()
        return {
            name: self.options.layer_decay ** (len(parts) - 1 - place)
            for place, part in enumerate(parts)
            for name in part
            if self.options.layer_decay < 1
        }

    def deviations(self) -> tuple[str, ...]:
        """Compare the options with the paper's stages: natural images, deep layers on lung, shallow ones frozen."""
        options = self.options
        stages = [
            ("no stage on natural images", options.weights is None and options.natural is None),
            ("no stage on lung histology", options.lung is None),
            (f"frozen through {options.lung_freeze} on lung histology", options.lung_freeze in _NOT_SHALLOW),
            (f"frozen through {options.freeze}", options.freeze in _NOT_SHALLOW),
            ("no squeeze-and-excitation", options.reduction is None),
            (f"layer decay {options.layer_decay:g}", options.layer_decay != 1),
        ]
        return (*options.deviations(), *(words for words, deviates in stages if deviates))

    def inspect(self, network: nn.Module, images: Tensor) -> Mapping[str, float]:
        """Tell how far the gates that a stage trains differ between channels."""
        return gate_spread(network, images)

    def _through(self, point: FreezePoint) -> tuple[str, ...]:
        """Name the modules up to and including a point."""
        if point == "none":
            return ()
        last = 0 if point == "stem" else int(point.removeprefix("denseblock"))
        return tuple(name for part in self._parts()[: last + 1] for name in part)

    def _parts(self) -> list[tuple[str, ...]]:
        """Name the modules before the classifier, from the stem on: a block goes with what follows it."""
        blocks = len(self.options.block_config)
        ends = [f"features.transition{number}" for number in range(1, blocks)] + ["features.norm5"]
        named = [(f"features.denseblock{number}", end) for number, end in enumerate(ends, 1)]
        return [("features.conv0", "features.norm0"), *named]


@hookimpl
def harness_register_models(register: Register) -> None:
    """Offer the model."""
    register(DeepTransfer)
