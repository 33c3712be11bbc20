"""The shared training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness.cache import Note
from harness.errors import CellError, DivergedError
from harness.plugin_api.model import EpochReport, LabeledImages, Throughput
from harness.plugin_api.schedule import Schedule
from harness.training.auto import EAGER, resolve_precision
from harness.training.batches import Batches, views_shown
from harness.training.checkpoint import Checkpoints, Progress, Snapshot, generator_states, set_generators
from harness.training.execution_modes import Prepared, clock, prepare
from harness.training.feed import ChangedFeed, FeatureFeed, Feed, PixelFeed
from harness.training.frozen_features import FrozenFeatures
from harness.training.metric_accumulator import MetricAccumulator
from harness.training.normalisation import Normalisation
from harness.training.optimiser import Optimiser
from harness.training.predict import Predictor, evaluation_batch
from harness.training.prefix import train_mode
from harness.training.recipe import Recipe
from harness.training.step import PredictionStep, TrainingStep, autocast
from harness.training.timing import median_seconds
from harness.training.weights import State

_INSPECTED = 32


@dataclass(frozen=True)
class TrainingPlan:
    """How one stage is trained.

    Attributes:
        stage: Its name in the history.
        schedule: The budget.
        frozen: Names of modules that stay as they are: no gradients, batch-norm statistics fixed, dropout off.
        normalisation: Of the input.
        n_classes: Of the network's output.
        seed: Of shuffling, augmentation and dropout.
        rates: What the learning rate is multiplied by, by name of a module.
        execution_mode: How steps are executed, from :func:`~harness.training.auto.resolve_execution_mode`.
        recipe: What the model decides by itself.
        features: The folder of a set in which features of its frozen first layers are there already, or None.
        note: Is told what a person should know, in one line.
    """

    stage: str
    schedule: Schedule
    frozen: tuple[str, ...]
    normalisation: Normalisation
    n_classes: int
    seed: int
    rates: Mapping[str, float] = field(default_factory=dict)
    execution_mode: str = EAGER
    recipe: Recipe = field(default_factory=Recipe)
    features: Path | None = None
    note: Note = print


class Trainer:
    """Trains one network through one stage.

    Args:
        network: On the device; trained in place.
        plan: How.
        train: Images to fit weights on.

    Attributes:
        frozen_features: What the network's frozen first layers make of images.
    """

    def __init__(self, network: nn.Module, plan: TrainingPlan, train: LabeledImages) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self._plan, self._train, self._device = plan, train, train.labels.device
        self.precision = resolve_precision(plan.schedule.precision, self._device.type)
        freeze(network, plan.frozen)
        schedule = plan.schedule
        self._optimiser = Optimiser(network, plan.rates, lambda groups: plan.recipe.optimiser(groups, schedule))
        self._class_weights = _class_weights(train.labels, plan)
        self._loss = partial(plan.recipe.loss, class_weights=self._class_weights)
        self._tally = MetricAccumulator(plan.n_classes, self._device, self._class_weights)
        self._batches = Batches(len(train), schedule.augmentation, schedule.batch_size, self._device, plan.seed)
        torch.manual_seed(plan.seed)  # dropout draws from the global generator
        self._images_seen, self._train_seconds = 0, 0.0
        self.execution_mode, self.start_up_seconds = plan.execution_mode, 0.0
        self.feature_images = 0
        self.frozen_features = FrozenFeatures(
            self.network,
            () if plan.recipe.changes_batches else plan.frozen,
            plan.normalisation,
            self.precision,
            schedule.batch_size,
            train.images,
            plan.features,
            plan.note,
        )

    def fit(
        self,
        validation: LabeledImages,
        report: Callable[[EpochReport], None],
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Train to the end of the schedule and leave the network at its best epoch.

        The best epoch has the highest balanced accuracy on validation; ties go to the lower loss, then to the earlier.

        Args:
            validation: Images to choose the epoch on.
            report: Is told of every epoch, of those before an interruption as well.
            checkpoints: Where training goes on from after an interruption, and what it leaves on the way.

        Raises:
            DivergedError: A loss is not finite; the message names the epoch.
        """
        feed = self._train_feed
        made = feed.seconds if isinstance(feed, FeatureFeed) else 0.0
        again = 0.0 if isinstance(feed, FeatureFeed) and feed.is_shared else made
        self._images_seen, self._train_seconds = 0, made
        step = self._ready(feed)
        predictor = self._predictor(validation.images)
        self.start_up_seconds += predictor.start_up_seconds
        progress = self._go_on_from(checkpoints.latest() if checkpoints else None, report, again)
        while self._wants_more(progress):
            epoch = len(progress.history) + 1
            latest = self._train_epoch(epoch, step, lambda: self._evaluate(predictor, validation.labels))
            report(latest)
            progress.add(latest, self.network.state_dict())
            if checkpoints and checkpoints.due:
                checkpoints.keep(Snapshot(progress, self._state()))
        self.network.load_state_dict(progress.best)
        if checkpoints:
            checkpoints.drop()

    def prepare(self, feed: Feed | None = None) -> Prepared:
        """Return a training step that is ready to be run again and again, on shuffled images.

        Args:
            feed: Instead of the training images'.
        """
        step = self._ready(feed or self._train_feed)
        self._batches.shuffle()
        return step

    def measure_throughput(self, least_seconds: float = 0.0) -> float:
        """Train a few steps, fewer where they are slow, and return images per second, the median step's.

        Args:
            least_seconds: How long to go on where steps are fast: the median of a few milliseconds is mostly noise.
        """
        return self._batches.size / self._seconds_of(self.prepare().run, least_seconds)

    def timed_step(self) -> Callable[[], float]:
        """Return what trains one step after the other, and says how many seconds it took."""
        run = self.prepare().run

        def step() -> float:
            started = clock(self._device)
            run()
            return clock(self._device) - started

        return step

    def measure(self, least_seconds: float = 0.0) -> Throughput:
        """Train and classify a few batches, and turn a few into features where features are kept."""
        feed, pixels, size = self._train_feed, self._pixels(self._train.images), self._batches.size
        steps = self._seconds_of(self.prepare(feed).run, least_seconds)
        made, feature_bytes, warm_ups = None, None, 1

        def shown(count: int) -> torch.Tensor:
            rows = torch.arange(count, device=self._device) % len(self._train)
            return pixels.pixels(rows, torch.zeros_like(rows))

        with torch.no_grad(), autocast(self._device, self.precision):
            if isinstance(feed, FeatureFeed):
                images = shown(self.frozen_features.batch)
                # no warm-up: what made the features has run the layers already
                made = len(images) / self._seconds_of(lambda: feed.prefix.features(images), least_seconds, warm_ups=0)
                warm_ups = int(len(images) != size)
                feature_bytes = feed.features[0, 0].numel() * feed.features.element_size()
            batch = shown(size)
            self.network.eval()
            predictions = self._seconds_of(lambda: self.network(batch), least_seconds, warm_ups)
        return Throughput(size / steps, size / predictions, made, feature_bytes)

    def _seconds_of(self, work: Callable[[], object], least_seconds: float, warm_ups: int = 1) -> float:
        return median_seconds(work, self._device, least_seconds, warm_ups)

    def inspected(self, inspect: Callable[[nn.Module, torch.Tensor], Mapping[str, float]]) -> dict[str, float]:
        """Return what an inspection of the network finds on some training images."""
        shown = torch.arange(min(_INSPECTED, len(self._train)), device=self._device)
        pixels = self._pixels(self._train.images)
        self.network.eval()
        with torch.no_grad():
            found = inspect(self.network, pixels.pixels(shown, torch.zeros_like(shown)))
        return {str(name): float(value) for name, value in found.items()}

    def checkpoint_bytes(self) -> int:
        """Size of network and optimiser state together."""
        return _bytes(self.network.state_dict().values()) + _bytes(self._optimiser.state)

    def _wants_more(self, progress: Progress) -> bool:
        done, schedule = len(progress.history), self._plan.schedule
        return done < schedule.epochs and done - progress.best_epoch < (schedule.patience or schedule.epochs)

    def _state(self) -> State:
        """Return what the epochs to come depend on."""
        network = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        optimiser = {f"optimiser.{place}": tensor for place, tensor in enumerate(self._optimiser.state)}
        return {**network, **optimiser, **generator_states(self._batches.generator, self._device)}

    def _go_on_from(self, snapshot: Snapshot | None, report: Callable[[EpochReport], None], again: float) -> Progress:
        """Put everything back to where a snapshot was taken, and return how far that is.

        Args:
            snapshot: None for the start.
            report: Is told of the epochs before it.
            again: Seconds of training that have been spent a second time.
        """
        if snapshot is None:
            return Progress()
        with torch.no_grad():
            for name, tensor in self._state().items():
                if not name.startswith("generator."):
                    tensor.copy_(snapshot.tensors[name])
        set_generators(snapshot.tensors, self._batches.generator, self._device)
        for epoch in snapshot.progress.history:
            report(epoch)
        self._images_seen = snapshot.progress.history[-1].images_seen
        self._train_seconds = again + snapshot.progress.history[-1].train_seconds
        return snapshot.progress

    def _ready(self, feed: Feed) -> Prepared:
        """Make the training step ready; what that takes is no training time."""
        self._refuse_shape(feed)
        train_mode(self.network, self._plan.frozen)
        step = TrainingStep(
            self.network,
            feed,
            self._batches,
            self._train.labels,
            loss=self._loss,
            optimiser=self._optimiser,
            tally=self._tally,
            precision=self.precision,
        )
        prepared = prepare(step, self._plan.execution_mode, self._device)
        self.feature_images = feed.feature_images
        self.execution_mode, self.start_up_seconds = ", ".join([prepared.message, *feed.message]), prepared.seconds
        return prepared

    def _refuse_shape(self, feed: Feed) -> None:
        """Look at the logits of a few images before anything stumbles over their shape."""
        rows = torch.arange(min(2, len(self._train)), device=self._device)
        self.network.eval()
        with torch.no_grad(), autocast(self._device, self.precision):
            found = tuple(feed.logits(self.network, rows, torch.zeros_like(rows)).shape)
        if found[1:] != (self._plan.n_classes,):
            raise CellError(
                f"the network returns logits of shape {found} for {len(rows)} images and {self._plan.n_classes} "
                "classes - build(n_classes) must make one that returns (images, n_classes)"
            )

    def _pixels(self, images: torch.Tensor) -> PixelFeed:
        return PixelFeed(self.network, images, self._plan.normalisation)

    @cached_property
    def _train_feed(self) -> Feed:
        schedule, pixels = self._plan.schedule, self._pixels(self._train.images)
        if self._plan.recipe.changes_batches:
            return ChangedFeed(pixels, partial(self._plan.recipe.change, n_classes=self._plan.n_classes))
        views = views_shown(schedule.augmentation)
        passes = schedule.epochs * (views if schedule.augmentation == "sixfold" else 1)
        return (self.frozen_features.feed(self._train.images, views) if passes > views else None) or pixels

    def _predictor(self, images: torch.Tensor) -> Predictor:
        plan = self._plan
        feed = (self.frozen_features.feed(images, 1) if plan.schedule.epochs > 1 else None) or self._pixels(images)
        batch = evaluation_batch(len(images), self._device.type)
        step = PredictionStep(
            self.network,
            feed,
            len(images),
            plan.n_classes,
            batch,
            device=self._device,
            precision=self.precision,
        )
        return Predictor(step, plan.execution_mode)

    def _train_epoch(
        self, epoch: int, step: Prepared, evaluate: Callable[[], tuple[float, float, float]]
    ) -> EpochReport:
        self._optimiser.set_rate(self._plan.recipe.rate(epoch, self._plan.schedule))
        train_mode(self.network, self._plan.frozen)
        started = clock(self._device)
        self._tally.reset()
        self._batches.shuffle()
        for _ in range(self._batches.count):
            step.run()
        self._images_seen += self._batches.count * self._batches.size
        self._train_seconds += clock(self._device) - started
        trained, validated = self._tally.result(), evaluate()
        self._refuse_divergence(epoch, trained[0], validated[0])
        return EpochReport(
            self._plan.stage,
            epoch,
            *trained,
            *validated,
            images_seen=self._images_seen,
            train_seconds=self._train_seconds,
        )

    def _evaluate(self, predictor: Predictor, labels: torch.Tensor) -> tuple[float, float, float]:
        tally = MetricAccumulator(self._plan.n_classes, self._device, self._class_weights)
        logits = predictor.logits()
        tally.add(self._loss(logits, labels), logits, labels)
        return tally.result()

    def _refuse_divergence(self, epoch: int, *losses: float) -> None:
        if not np.isfinite(losses).all():
            raise DivergedError(
                f"training diverged in epoch {epoch} of stage '{self._plan.stage}': the loss is "
                f"{losses[0]} in training and {losses[1]} in validation - lower schedule.learning_rate"
            )


def freeze(network: nn.Module, names: tuple[str, ...]) -> None:
    """Turn gradients off in the named modules."""
    for name in names:
        network.get_submodule(name).requires_grad_(requires_grad=False)


def _class_weights(labels: torch.Tensor, plan: TrainingPlan) -> torch.Tensor | None:
    if plan.schedule.class_weights == "none":
        return None
    counts = torch.bincount(labels, minlength=plan.n_classes).clamp(min=1)
    return len(labels) / (len(counts) * counts.float())


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
