"""A PyTorch network as a model: its author writes ``build``, the harness does the rest."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.plugin_api.model import FitContext, LabeledImages, Model, ModelCard, Requirements
from harness.training.loop import Trainer, TrainingPlan, predict_probabilities
from harness.training.normalisation import Normalisation
from harness.training.stages import Stage, pretrain
from harness.training.weights import HUB, find_head, load_by_name, save_state

_WEIGHTS = "model.safetensors"
FINAL_STAGE = "final"


class TorchModel(Model):
    """A network trained by the shared loop.

    Subclasses give a ``name`` and :meth:`build`, and, if they start from other tasks, :meth:`initial_weights`,
    :meth:`pretraining` and :meth:`frozen`.
    """

    normalisation = Normalisation()
    _network: nn.Module
    _card: ModelCard
    _precision: str

    @abstractmethod
    def build(self, n_classes: int) -> nn.Module:
        """Make the network, freshly initialised.

        It takes float32 (N, 3, S, S), normalised by :attr:`normalisation`, and returns logits (N, n_classes). torch's
        global generator is seeded before the call.
        """

    def initial_weights(self) -> str | None:
        """Say where the weights of the first stage come from: a file, ``hub:<timm model>``, or None for fresh ones."""
        return None

    def pretraining(self) -> tuple[Stage, ...]:
        """Stages on source sets before the training on BreakHis, in order."""
        return ()

    def frozen(self, network: nn.Module) -> tuple[str, ...]:
        """Name the modules that the training on BreakHis leaves as they are."""
        del network
        return ()

    def head(self, network: nn.Module) -> str:
        """Name of the module that classifies, which no stage hands on; the last linear layer by default."""
        return find_head(network)

    def requirements(self) -> Requirements:
        """Ask for the stages' source sets and the file of the initial weights."""
        weights = self.initial_weights()
        return Requirements(
            sources=tuple(stage.source for stage in self.pretraining()),
            files=(Path(weights),) if weights and not weights.startswith(HUB) else (),
        )

    def fit(self, train: LabeledImages, validation: LabeledImages, context: FitContext) -> None:
        """Run the pre-training stages (or take them from the cache), then train on BreakHis."""
        self._network, provenance = self._prepared_network(context)
        trainer = Trainer(self._network, self._plan(self._network, context), train)
        trainer.fit(validation, context.report)
        self._precision = trainer.precision
        self._card = self._describe(trainer, train.images[:1], provenance)

    def predict_proba(self, images: torch.Tensor) -> NDArray[np.floating[Any]]:
        """Return the network's softmax."""
        return predict_probabilities(self._network, images, self.normalisation, self._precision)

    def describe(self) -> ModelCard:
        """Describe the network of the last stage."""
        return self._card

    def save(self, folder: Path) -> None:
        """Write the float32 state as ``model.safetensors``."""
        save_state(self._network.state_dict(), folder / _WEIGHTS)

    def load(self, folder: Path, device: torch.device, n_classes: int) -> None:
        """Build the network and read its state."""
        network = self.build(n_classes)
        network.load_state_dict(safetensors.torch.load_file(folder / _WEIGHTS))
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._precision = "bf16" if device.type == "cuda" else "float32"

    def measure_throughput(self, sample: LabeledImages, context: FitContext) -> float | None:
        """Time a few steps of the last stage on a fresh network; frozen parts are frozen."""
        network = self.build(len(context.classes)).to(context.device)
        return Trainer(network, self._plan(network, context), sample).measure_throughput()

    def _prepared_network(self, context: FitContext) -> tuple[nn.Module, tuple[str, ...]]:
        start = pretrain(self, context)
        torch.manual_seed(context.seed)
        network = self.build(len(context.classes))
        if start.state is not None:
            load_by_name(network, start.state, self.head(network))
        return network.to(context.device), start.provenance

    def _plan(self, network: nn.Module, context: FitContext) -> TrainingPlan:
        return TrainingPlan(
            FINAL_STAGE,
            context.schedule,
            self.frozen(network),
            self.normalisation,
            n_classes=len(context.classes),
            seed=context.seed,
        )

    def _describe(self, trainer: Trainer, image: torch.Tensor, provenance: tuple[str, ...]) -> ModelCard:
        parameters = list(self._network.parameters())
        state = self._network.state_dict().values()
        return ModelCard(
            parameters=sum(p.numel() for p in parameters),
            trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
            weights_bytes=sum(tensor.numel() * tensor.element_size() for tensor in state),
            checkpoint_bytes=trainer.checkpoint_bytes(),
            forward_flop=count_forward_flop(self._network, self.normalisation.apply(image)),
            engine=trainer.engine,
            precision=trainer.precision,
            provenance=provenance,
        )


def count_forward_flop(network: nn.Module, image: torch.Tensor) -> int:
    """Count the floating-point operations of one forward pass; a multiply-add is two."""
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    return int(counter.get_total_flops())
