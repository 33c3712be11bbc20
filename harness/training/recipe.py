"""What of a training a model may decide by itself: loss, optimiser, rate, and changes of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from harness.plugin_api.model import TrainingOptions
from harness.plugin_api.schedule import Schedule

Groups = list[dict[str, Any]]
"""Groups of parameters as torch's optimisers take them: ``params``, and ``lr``, a tensor () on their device."""

Augment = Callable[[torch.Tensor], torch.Tensor]
Mix = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Loss(Protocol):
    """The loss of a batch."""

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor, class_weights: torch.Tensor | None) -> torch.Tensor:
        """Return the mean loss () of float32 logits (B, n_classes); see :meth:`~harness.TorchModel.loss`."""


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, class_weights: torch.Tensor | None) -> torch.Tensor:
    """Return the cross entropy; of a class its weight, where there are any."""
    return nn.functional.cross_entropy(logits, targets, weight=class_weights)


def rate_at(epoch: int, schedule: Schedule, options: TrainingOptions) -> float:
    """Return the learning rate of an epoch, from 1: constant, or down a cosine to zero."""
    rate = schedule.learning_rate if options.learning_rate is None else options.learning_rate
    if (options.decay or schedule.decay) == "constant":
        return rate
    return rate * 0.5 * (1 + float(np.cos(np.pi * (epoch - 1) / schedule.epochs)))


def make_optimiser(groups: Groups, schedule: Schedule, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return SGD with momentum, or AdamW; each reads its rate on the device, so that its steps can be captured."""
    decay = schedule.weight_decay if options.weight_decay is None else options.weight_decay
    if options.optimiser == "adamw":
        on_cuda = any(parameter.is_cuda for group in groups for parameter in group["params"])
        return torch.optim.AdamW(groups, weight_decay=decay, fused=True, capturable=on_cuda)
    # fused: the only implementation that reads the rate on the device
    return torch.optim.SGD(groups, momentum=schedule.momentum, weight_decay=decay, fused=True)


@dataclass(frozen=True)
class Recipe:
    """The parts of a training that a model decides.

    Attributes:
        loss: Of a batch.
        optimiser: Makes it from groups of parameters and the schedule.
        rate: The learning rate of an epoch, from 1, under a schedule.
        augment: Changes normalised images (B, 3, S, S); None where they stay.
        mix: Changes normalised images and targets float32 (B, n_classes); None where they stay.
    """

    loss: Loss = cross_entropy
    optimiser: Callable[[Groups, Schedule], torch.optim.Optimizer] = lambda groups, schedule: make_optimiser(
        groups, schedule, TrainingOptions()
    )
    rate: Callable[[int, Schedule], float] = lambda epoch, schedule: rate_at(epoch, schedule, TrainingOptions())
    augment: Augment | None = None
    mix: Mix | None = None

    @property
    def changes_batches(self) -> bool:
        """Whether what the network sees is more than an image in one of its views."""
        return self.augment is not None or self.mix is not None

    def change(self, images: torch.Tensor, labels: torch.Tensor, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Change a batch: images (B, 3, S, S), labels int64 (B,); targets stay labels where nothing is mixed."""
        changed = images if self.augment is None else self.augment(images)
        if self.mix is None:
            return changed, labels
        return self.mix(changed, nn.functional.one_hot(labels, n_classes).float())
