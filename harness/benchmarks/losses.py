"""Losses of the plain and the shared loop, trained from the same start on the same batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from harness.benchmarks.loops import Batch, PlainLoop
from harness.data.augment import view_images
from harness.plugin_api.model import EpochReport, LabeledImages
from harness.training.auto import EAGER, resolve_precision
from harness.training.batches import Batches
from harness.training.concurrent import TrainingSpec

_SEED = 0


@dataclass(frozen=True)
class LossCurve:
    """How the loss of one loop went.

    Attributes:
        name: Of the loop, with its precision.
        losses: Mean over the batches of each epoch, while the weights changed.
    """

    name: str
    losses: list[float]


def compare_losses(order: TrainingSpec, epochs: int) -> list[LossCurve]:
    """Train a plain loop and the shared loop, each in the order's precision and in bf16, step by step alike.

    Weights, batches, views and dropout are drawn from the same seeds.

    Args:
        order: The model and how it is trained.
        epochs: Over the four batches of random images; 0 trains nothing.
    """
    if not epochs:
        return []
    own = resolve_precision(order.schedule.precision, torch.device(order.device).type)
    loops: dict[str, Callable[[TrainingSpec], list[float]]] = {"plain loop": _plain, "shared loop": _shared}
    return [
        LossCurve(f"{name}, {precision}", train(_scheduled(order, epochs, precision)))
        for precision in dict.fromkeys([own, "bf16"])
        for name, train in loops.items()
    ]


def _scheduled(order: TrainingSpec, epochs: int, precision: str) -> TrainingSpec:
    schedule = order.schedule.model_copy(update={"epochs": epochs, "precision": precision})
    return replace(order, schedule=schedule, execution_mode=EAGER)


def _shared(order: TrainingSpec) -> list[float]:
    sample, reports = order.sample(), list[EpochReport]()
    torch.manual_seed(_SEED)
    trainer = order.make().fresh_trainer(sample, order.context())
    trainer.fit(LabeledImages(sample.images[:2], sample.labels[:2]), reports.append)
    return [report.train_loss for report in reports]


def _plain(order: TrainingSpec) -> list[float]:
    sample, schedule, device = order.sample(), order.schedule, torch.device(order.device)
    normalisation = order.make().normalisation
    torch.manual_seed(_SEED)
    loop = PlainLoop.of(order)
    batches = Batches(len(sample), schedule.augmentation, schedule.batch_size, device, _SEED)
    torch.manual_seed(_SEED)  # the shared loop seeds dropout as well

    def next_batch() -> Batch:
        rows, views = batches.take()
        return normalisation.apply(view_images(sample.images[rows], views)), sample.labels[rows]

    step, losses = loop.step(next_batch), list[float]()
    for _ in range(schedule.epochs):
        batches.shuffle()
        losses.append(float(torch.stack([step() for _ in range(batches.count)]).mean()))
    return losses
