"""TorchModel: a PyTorch network as a model."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.plugin_api.model import (
    FitContext,
    LabeledImages,
    Model,
    ModelCard,
    Requirements,
    Throughput,
    TrainingOptions,
)
from harness.plugin_api.schedule import FINAL_STAGE, Schedule
from harness.training.architecture import describe_network
from harness.training.checkpoint import checkpoints_of
from harness.training.cost import count_forward_flop
from harness.training.feed import PixelFeed
from harness.training.frozen import refuse_fresh_frozen
from harness.training.frozen_features import FrozenFeatures
from harness.training.grad_cam import captum_version, grad_cam, last_map_layer, name_of_layer
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation
from harness.training.predict import Prediction, predict_probabilities
from harness.training.recipe import Groups, Recipe, cross_entropy, make_optimiser, rate_at
from harness.training.stages import Stage, StartingPoint, describe_fresh, outstanding_stages, pretrain
from harness.training.warnings_for_authors import find_oddities
from harness.training.weights import (
    find_head,
    initial_file,
    load_matching_weights,
    read_state,
    read_weights,
    save_state,
    without_counters,
)

_WEIGHTS = "model.safetensors"
LEAST_SECONDS = 0.5
"""How long steps are timed where they are fast."""


class TorchModel(Model):
    """A network trained by the shared loop.

    Subclasses give a ``name`` and :meth:`build`, and, if they start from other tasks, :meth:`initial_weights`,
    :meth:`pretraining`, :meth:`frozen` and :meth:`rates`. How they are trained is the run's schedule, what their
    options say if these are of a class of :class:`~harness.TrainingOptions`, and what they override of :meth:`loss`,
    :meth:`optimiser`, :meth:`rate`, :meth:`augment` and :meth:`mix`; all stages are trained so.

    Attributes:
        normalisation: Of the input.
        image_size: Side of the images in pixels; known whenever :meth:`build` is called.
        class_names: Names in the order of the outputs, of the set that the network is built for; likewise.
    """

    normalisation = Normalisation()
    image_size: int = 0
    class_names: tuple[str, ...] = ()
    _network: nn.Module
    _card: ModelCard
    _prediction: Prediction
    _features: FrozenFeatures | None = None
    _explanation: Mapping[str, str] | None = None

    @abstractmethod
    def build(self, n_classes: int) -> nn.Module:
        """Make the network, freshly initialised.

        It takes float32 (N, 3, S, S), normalised by :attr:`normalisation`, and returns logits (N, n_classes). torch's
        global generator is seeded before the call.
        """

    def initial_weights(self) -> str | None:
        """Say where the weights of the first stage come from, or None for fresh ones.

        A file, ``hub:<timm model>``, or ``package:<distribution>`` for the one file of weights that an installed
        package carries.
        """
        return None

    def pretraining(self) -> tuple[Stage, ...]:
        """Stages on source sets before the training on the data set, in order."""
        return ()

    def frozen(self, network: nn.Module) -> tuple[str, ...]:
        """Name the modules that the training on the data set leaves as they are."""
        del network
        return ()

    def rates(self, network: nn.Module) -> Mapping[str, float]:
        """Say what the training on the data set multiplies the learning rate by, by name of a module; 1 elsewhere."""
        del network
        return {}

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, class_weights: torch.Tensor | None) -> torch.Tensor:
        """Return the mean loss () of a batch; the cross entropy by default.

        Args:
            logits: float32 (B, n_classes).
            targets: int64 (B,), or float32 (B, n_classes) from :meth:`mix`. On validation images always the first.
            class_weights: float32 (n_classes,), where the schedule weighs classes; None elsewhere.
        """
        return cross_entropy(logits, targets, class_weights)

    def optimiser(self, groups: Groups, schedule: Schedule) -> torch.optim.Optimizer:
        """Make the optimiser; what the options say by default.

        Args:
            groups: Of parameters, as torch's optimisers take them: ``params``, and ``lr``, a tensor on their device,
                which changes from epoch to epoch. An optimiser that reads it there can be captured as a CUDA graph; all
                of its state must be tensors.
            schedule: Of the stage.
        """
        return make_optimiser(groups, schedule, self._training_options())

    def rate(self, epoch: int, schedule: Schedule) -> float:
        """Return the learning rate of an epoch, from 1; what the options say by default."""
        return rate_at(epoch, schedule, self._training_options())

    def augment(self, images: torch.Tensor) -> torch.Tensor:
        """Change the images of a batch to train on: normalised float32 (B, 3, S, S), on their device.

        Draw from torch's global generator: it is seeded, and put back where training goes on from a checkpoint.
        """
        return images

    def mix(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Change the images and targets of a batch to train on, as mixup does.

        Args:
            images: Normalised float32 (B, 3, S, S), on their device, after :meth:`augment`.
            targets: float32 (B, n_classes), one at the label.
        """
        return images, targets

    def inspect(self, network: nn.Module, images: torch.Tensor) -> Mapping[str, float]:
        """Say in numbers what is to be known of a trained network, by name; called after every stage.

        Args:
            network: In evaluation mode; what the stage left frozen has no gradients.
            images: float32 (N, 3, S, S), some of the stage's training images, normalised.
        """
        del network, images
        return {}

    def stage_options(self) -> Mapping[str, Any]:
        """Return the options that decide what a stage comes to, beside its own settings; all of them by default.

        Models whose stages are keyed alike share them. So leave out what says nothing of the network or of how a stage
        trains it, such as what the training on the data set freezes.
        """
        options: dict[str, Any] = self.options.model_dump(mode="json")
        return options

    def explained_layer(self, network: nn.Module) -> nn.Module | None:
        """Return the module whose maps (N, C, H, W) :meth:`explain` looks at; None for the last that gives any."""
        del network
        return None

    def recipe(self) -> Recipe:
        """Return how it is trained; what is overridden of it keeps features of frozen layers from being kept."""
        kind = type(self)
        return Recipe(
            self.loss,
            self.optimiser,
            self.rate,
            self.augment if kind.augment is not TorchModel.augment else None,
            self.mix if kind.mix is not TorchModel.mix else None,
        )

    def network_for(self, classes: Sequence[str], size: int) -> nn.Module:
        """Build the network for images of a size in pixels and for classes of these names."""
        self.class_names, self.image_size = tuple(classes), size
        return self.build(len(classes))

    def _training_options(self) -> TrainingOptions:
        return self.options if isinstance(self.options, TrainingOptions) else TrainingOptions()

    def allows_fresh_frozen(self) -> bool:
        """Say whether frozen layers may stay at random: where the options have ``fresh: allowed``."""
        return getattr(self.options, "fresh", None) == "allowed"

    def check(self, sample: LabeledImages, context: FitContext) -> None:
        """Read the initial weights, build the network, see that the one fits the other, and tell what is odd."""
        where = self.initial_weights()
        weights = read_weights(where) if where else None
        stages = self.pretraining()
        classes = context.sources[stages[0].source].classes if stages else context.classes
        network = self.network_for(classes, context.size)
        network = network.to(context.device)
        head = self.head(network) if weights or stages else ""
        fresh = load_matching_weights(network, weights, head) if weights else without_counters(network.state_dict())
        frozen = stages[0].frozen if stages else self.frozen(network)
        self._refuse_fresh_frozen(network, fresh, frozen, self._normalised(sample, context))
        if stages:
            describe_network(network)
        self._note_oddities(network, frozen, sample, context)

    def _note_oddities(
        self, network: nn.Module, frozen: Sequence[str], sample: LabeledImages, context: FitContext
    ) -> None:
        try:
            found = find_oddities(network, frozen, self._normalised(sample, context))
        except Exception as error:  # noqa: BLE001 - training may prepare what a single forward pass lacks
            found = [f"its network could not be tried beforehand: {type(error).__name__}: {error}"]
        for oddity in found:
            context.note(oddity)

    def _normalised(self, sample: LabeledImages, context: FitContext) -> torch.Tensor:
        return self.normalisation.apply(sample.images[:2].to(context.device))

    def _refuse_fresh_frozen(
        self, network: nn.Module, fresh: Sequence[str], frozen: Sequence[str], images: torch.Tensor
    ) -> None:
        if frozen and not self.allows_fresh_frozen():
            refuse_fresh_frozen(network, fresh, frozen, images)

    def head(self, network: nn.Module) -> str:
        """Name of the module that classifies, which no stage hands on; the last linear layer by default."""
        return find_head(network)

    def requirements(self) -> Requirements:
        """Ask for the stages' source sets and the file of the initial weights."""
        weights = self.initial_weights()
        file = initial_file(weights) if weights else None
        return Requirements(
            sources=tuple(stage.source for stage in self.pretraining()), files=(file,) if file is not None else ()
        )

    def fit(self, train: LabeledImages, validation: LabeledImages, context: FitContext) -> None:
        """Run the pre-training stages (or take them from the cache), then train on the data set."""
        trainer, start = self.prepared_trainer(train, context)
        self._network = trainer.network
        trainer.fit(validation, context.report, checkpoints_of(context, FINAL_STAGE))
        views = context.schedule.prediction_views
        self._prediction = Prediction(len(context.classes), trainer.precision, context.execution_mode, views)
        self._features = trainer.frozen_features if trainer.feature_images and views == 1 else None
        self._card = self._describe(trainer, train.images[:1].to(context.device), start)

    def predict_proba(self, images: torch.Tensor) -> NDArray[np.floating[Any]]:
        """Return the network's softmax; its mean over eight views if the schedule says so."""
        kept = self._features.feed(images, 1) if self._features else None
        feed = kept or PixelFeed(self._network, images, self.normalisation)
        return predict_probabilities(self._network, feed, len(images), self._prediction)

    def explain(self, images: torch.Tensor) -> NDArray[np.floating[Any]] | None:
        """Compute Grad-CAM of the predicted class on :meth:`explained_layer`."""
        feed = PixelFeed(self._network, images, self.normalisation)
        chosen = self.explained_layer(self._network)
        layer = last_map_layer(feed) if chosen is None else chosen
        name = name_of_layer(self._network, layer)
        self._explanation = {"method": "Grad-CAM", "layer": name, "captum": captum_version()}
        return grad_cam(feed, self.predict_proba(images).argmax(1), layer)

    def how_explained(self) -> Mapping[str, str]:
        """Name the layer and the library; nothing where a subclass explains in a way of its own."""
        return self._explanation or {}

    def describe(self) -> ModelCard:
        """Describe the network of the last stage."""
        return self._card

    def save(self, folder: Path) -> None:
        """Write the float32 state, with what it was built for and how it predicts in its header."""
        built = {"size": str(self.image_size), "classes": json.dumps(self.class_names)}
        save_state(self._network.state_dict(), folder / _WEIGHTS, {**self._prediction.to_text(), **built})

    def load(self, folder: Path, device: torch.device, n_classes: int) -> None:
        """Build the network and read its state."""
        state, header = read_state(folder / _WEIGHTS)
        names = json.loads(header.get("classes", "null")) or [str(place) for place in range(n_classes)]
        network = self.network_for(names, int(header.get("size", 0)))
        network.load_state_dict(state)
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._prediction, self._features = Prediction.from_text(n_classes, header, device.type), None

    def measure_throughput(self, sample: LabeledImages, context: FitContext) -> Throughput | None:
        """Time a few steps of the last stage on a fresh network; frozen parts are frozen."""
        return self.fresh_trainer(sample, context).measure(LEAST_SECONDS)

    def estimate_pretraining(self, context: FitContext) -> Mapping[str, float]:
        """Time a few steps of every stage that the cache does not hold."""
        return outstanding_stages(self, context)

    def fresh_trainer(self, sample: LabeledImages, context: FitContext) -> Trainer:
        """Return what trains a fresh network as in the last stage, without the stages before it."""
        network = self.network_for(context.classes, context.size).to(context.device)
        return Trainer(network, self._plan(network, context), sample)

    def prepared_trainer(self, train: LabeledImages, context: FitContext) -> tuple[Trainer, StartingPoint]:
        """Return what trains the network of the last stage, and where the stages before it have left that."""
        network, start = self._prepared_network(train, context)
        return Trainer(network, self._plan(network, context), train), start

    def _prepared_network(self, train: LabeledImages, context: FitContext) -> tuple[nn.Module, StartingPoint]:
        start = pretrain(self, context)
        torch.manual_seed(context.seed)
        network = self.network_for(context.classes, context.size)
        frozen = self.frozen(network)
        message = f", {len(frozen)} modules frozen" if frozen else ""
        if start.weights is None:
            fresh = without_counters(network.state_dict())
            final = f"final: all fresh{message}" if frozen else ""
        else:
            fresh = load_matching_weights(network, start.weights, self.head(network))
            final = f"final: {describe_fresh(fresh)}{message}"
        self._refuse_fresh_frozen(network.to(context.device), fresh, frozen, self._normalised(train, context))
        provenance = (*start.provenance, final) if final else start.provenance
        return network.to(context.device), replace(start, provenance=provenance)

    def _plan(self, network: nn.Module, context: FitContext) -> TrainingPlan:
        return TrainingPlan(
            FINAL_STAGE,
            context.schedule,
            self.frozen(network),
            self.normalisation,
            n_classes=len(context.classes),
            seed=context.seed,
            rates=self.rates(network),
            execution_mode=context.execution_mode,
            recipe=self.recipe(),
            features=context.features,
            note=context.note,
        )

    def _describe(self, trainer: Trainer, image: torch.Tensor, start: StartingPoint) -> ModelCard:
        found = trainer.inspected(self.inspect)
        parameters = list(self._network.parameters())
        state = self._network.state_dict().values()
        return ModelCard(
            parameters=sum(p.numel() for p in parameters),
            trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
            weights_bytes=sum(tensor.numel() * tensor.element_size() for tensor in state),
            checkpoint_bytes=trainer.checkpoint_bytes(),
            forward_flop=count_forward_flop(self._network, self.normalisation.apply(image)),
            execution_mode=trainer.execution_mode,
            start_up_seconds=trainer.start_up_seconds,
            precision=trainer.precision,
            feature_images=trainer.feature_images,
            provenance=start.provenance,
            inspection={**start.inspection, **({FINAL_STAGE: found} if found else {})},
        )
