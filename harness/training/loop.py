"""The training loop that every network shares: data in device memory, no loader in the way."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.data.augment import VIEWS
from harness.errors import DivergedError
from harness.plugin_api.model import EpochReport, LabeledImages
from harness.plugin_api.schedule import Schedule
from harness.training.feed import Feed, PixelFeed, all_views, make_feed
from harness.training.normalisation import Normalisation
from harness.training.prefix import train_mode

EVALUATION_BATCH = 64
_THROUGHPUT_STEPS = 12
_THROUGHPUT_SECONDS = 2.0


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
    """

    stage: str
    schedule: Schedule
    frozen: tuple[str, ...]
    normalisation: Normalisation
    n_classes: int
    seed: int


class Tally:
    """Loss and confusion counts, summed on the device so that no step waits for the host."""

    def __init__(self, n_classes: int, device: torch.device, class_weights: torch.Tensor | None) -> None:
        self._loss = torch.zeros((), device=device)
        self._weight = torch.zeros((), device=device)
        self._class_weights = class_weights if class_weights is not None else torch.ones(n_classes, device=device)
        self._confusion = torch.zeros(n_classes * n_classes, dtype=torch.int64, device=device)
        self._n_classes = n_classes

    def add(self, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Count a batch: mean loss (), logits (N, n_classes), labels (N,)."""
        weight = self._class_weights[labels].sum()  # what the batch's mean was divided by
        self._loss += loss.detach() * weight
        self._weight += weight
        cells = labels * self._n_classes + logits.detach().argmax(1)
        self._confusion += torch.bincount(cells, minlength=len(self._confusion))

    def result(self) -> tuple[float, float, float]:
        """Return mean loss, accuracy, and balanced accuracy over the classes that occurred."""
        confusion = self._confusion.view(self._n_classes, self._n_classes).double().cpu()
        per_class = confusion.sum(1)
        present = per_class > 0
        recall = confusion.diagonal()[present] / per_class[present]
        total = float(per_class.sum())
        return float(self._loss / self._weight), float(confusion.trace()) / total, float(recall.mean())


class Trainer:
    """Trains one network through one stage.

    Args:
        network: On the device; trained in place.
        plan: How.
        train: Images to fit weights on.
    """

    def __init__(self, network: nn.Module, plan: TrainingPlan, train: LabeledImages) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self._plan = plan
        self._train = train
        self.precision = resolve_precision(plan.schedule, train.images.device)
        freeze(network, plan.frozen)
        schedule = plan.schedule
        self.optimizer = torch.optim.SGD(
            [parameter for parameter in network.parameters() if parameter.requires_grad],
            lr=schedule.learning_rate,
            momentum=schedule.momentum,
            weight_decay=schedule.weight_decay,
        )
        self._loss = nn.CrossEntropyLoss(weight=_class_weights(train.labels, plan))
        self._generator = torch.Generator().manual_seed(plan.seed)
        torch.manual_seed(plan.seed)  # dropout draws from the global generator
        self._feed: Feed = PixelFeed(self.network, train.images, plan.normalisation)
        self._images_seen, self._train_seconds = 0, 0.0

    @property
    def engine(self) -> str:
        """How training steps are executed."""
        return self._feed.engine

    def fit(self, validation: LabeledImages, report: Callable[[EpochReport], None]) -> None:
        """Train to the end of the schedule and leave the network at its best epoch.

        The best epoch has the highest balanced accuracy on validation; ties go to the lower loss, then to the earlier.

        Raises:
            DivergedError: A loss is not finite; the message names the epoch.
        """
        best, best_state, best_epoch = (-1.0, 0.0), None, 0
        started = _clock(validation.images.device)
        self._feed = self._train_feed()
        self._images_seen, self._train_seconds = 0, _clock(validation.images.device) - started
        feed = self._validation_feed(validation.images)
        for epoch in range(1, self._plan.schedule.epochs + 1):
            latest = self._train_epoch(epoch, lambda: self._evaluate(feed, validation.labels))
            report(latest)
            score = (latest.validation_balanced_accuracy, -latest.validation_loss)
            if score > best:
                best, best_epoch = score, epoch
                best_state = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
            if epoch - best_epoch >= (self._plan.schedule.patience or epoch):
                break
        if best_state is not None:
            self.network.load_state_dict(best_state)

    def measure_throughput(self) -> float:
        """Train a few steps, fewer where they are slow, and return images per second, the median step's."""
        self._feed = self._train_feed()
        train_mode(self.network, self._plan.frozen)
        device = self._train.images.device
        seconds: list[float] = []
        for rows, views in itertools.islice(itertools.cycle(self._batches()), _THROUGHPUT_STEPS):
            started = _clock(device)
            self._step(rows, views)
            seconds.append(_clock(device) - started)
            if len(seconds) > 1 and sum(seconds) > _THROUGHPUT_SECONDS:
                break
        return min(self._plan.schedule.batch_size, len(self._train)) / float(np.median(seconds[1:]))

    def checkpoint_bytes(self) -> int:
        """Size of network and optimiser state together."""
        momentum = [value for state in self.optimizer.state.values() for value in state.values()]
        return _bytes(self.network.state_dict().values()) + _bytes(v for v in momentum if isinstance(v, torch.Tensor))

    def _train_feed(self) -> Feed:
        schedule = self._plan.schedule
        pixels = PixelFeed(self.network, self._train.images, self._plan.normalisation)
        views = all_views(schedule.augmentation)
        passes = schedule.epochs * (views if schedule.augmentation == "sixfold" else 1)
        with _autocast(self._train.images.device, self.precision):
            return make_feed(pixels, self._plan.frozen, schedule.batch_size, views, passes)

    def _validation_feed(self, images: torch.Tensor) -> Feed:
        pixels = PixelFeed(self.network, images, self._plan.normalisation)
        with _autocast(images.device, self.precision):
            return make_feed(pixels, self._plan.frozen, EVALUATION_BATCH, 1, self._plan.schedule.epochs)

    def _train_epoch(self, epoch: int, evaluate: Callable[[], tuple[float, float, float]]) -> EpochReport:
        self._set_rate(epoch)
        train_mode(self.network, self._plan.frozen)
        device = self._train.images.device
        tally = Tally(self._plan.n_classes, device, self._loss.weight)
        started = _clock(device)
        for rows, views in self._batches():
            loss, logits = self._step(rows, views)
            tally.add(loss, logits, self._train.labels[rows])
            self._images_seen += len(rows)
        self._train_seconds += _clock(device) - started
        trained, validated = tally.result(), evaluate()
        self._refuse_divergence(epoch, trained[0], validated[0])
        return EpochReport(
            self._plan.stage,
            epoch,
            *trained,
            *validated,
            images_seen=self._images_seen,
            train_seconds=self._train_seconds,
        )

    def _step(self, rows: torch.Tensor, views: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with _autocast(rows.device, self.precision):
            logits = self._feed.logits(rows, views)
        loss: torch.Tensor = self._loss(logits.float(), self._train.labels[rows])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss, logits

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield rows and views of an epoch's batches, all of one size; what is left over waits for the next shuffle."""
        n, device = len(self._train), self._train.images.device
        if self._plan.schedule.augmentation == "sixfold":
            order = torch.randperm(n * len(VIEWS), generator=self._generator)
            rows, views = order // len(VIEWS), order % len(VIEWS)
        else:
            rows = torch.randperm(n, generator=self._generator)
            views = torch.zeros_like(rows)
            if self._plan.schedule.augmentation == "random":
                views = torch.randint(len(VIEWS), (n,), generator=self._generator)
        size = min(self._plan.schedule.batch_size, len(rows))
        rows, views = rows.to(device), views.to(device)
        for start in range(0, len(rows) - size + 1, size):
            yield rows[start : start + size], views[start : start + size]

    def _evaluate(self, feed: Feed, labels: torch.Tensor) -> tuple[float, float, float]:
        tally = Tally(self._plan.n_classes, labels.device, self._loss.weight)
        for rows, logits in predict_logits(self.network, feed, labels.device, len(labels), self.precision):
            tally.add(self._loss(logits, labels[rows]), logits, labels[rows])
        return tally.result()

    def _set_rate(self, epoch: int) -> None:
        schedule = self._plan.schedule
        share = 0.5 * (1 + np.cos(np.pi * (epoch - 1) / schedule.epochs)) if schedule.decay == "cosine" else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.learning_rate * float(share)

    def _refuse_divergence(self, epoch: int, *losses: float) -> None:
        if not np.isfinite(losses).all():
            raise DivergedError(
                f"training diverged in epoch {epoch} of stage '{self._plan.stage}': the loss is "
                f"{losses[0]} in training and {losses[1]} in validation - lower schedule.learning_rate"
            )


def predict_logits(
    network: nn.Module, feed: Feed, device: torch.device, images: int, precision: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the rows and the float32 logits (B, n_classes) of each batch of images, in order."""
    network.eval()
    for rows in torch.split(torch.arange(images, device=device), EVALUATION_BATCH):
        with torch.inference_mode(), _autocast(device, precision):
            logits = feed.logits(rows, torch.zeros_like(rows))
        yield rows, logits.float()


def predict_probabilities(
    network: nn.Module, images: torch.Tensor, normalisation: Normalisation, precision: str
) -> NDArray[np.float64]:
    """Return class probabilities (N, n_classes) of uint8 images (N, 3, H, W)."""
    feed = PixelFeed(network, images, normalisation)
    logits = [batch.double().cpu() for _, batch in predict_logits(network, feed, images.device, len(images), precision)]
    probabilities: NDArray[np.float64] = torch.cat(logits).softmax(1).numpy()
    return probabilities


def freeze(network: nn.Module, names: tuple[str, ...]) -> None:
    """Turn gradients off in the named modules, and on everywhere else."""
    network.requires_grad_(requires_grad=True)
    for name in names:
        network.get_submodule(name).requires_grad_(requires_grad=False)


def resolve_precision(schedule: Schedule, device: torch.device) -> str:
    """Return ``bf16`` or ``float32``."""
    if schedule.precision != "auto":
        return schedule.precision
    return "bf16" if device.type == "cuda" else "float32"


def _class_weights(labels: torch.Tensor, plan: TrainingPlan) -> torch.Tensor | None:
    if plan.schedule.class_weights == "none":
        return None
    counts = torch.bincount(labels, minlength=plan.n_classes).clamp(min=1)
    return len(labels) / (len(counts) * counts.float())


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
