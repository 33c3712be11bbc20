"""Expected duration of a training, and operations of a forward pass."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.plugin_api.model import Throughput
from harness.plugin_api.schedule import Schedule
from harness.training.batches import views_shown


def training_seconds(speed: Throughput, schedule: Schedule, train: int, validation: int) -> float:
    """Return about how long a network trains to the end of its schedule, validation included.

    Args:
        speed: Measured alone on the device. With a speed of features they are made once, of training images in every
            view and of validation images in one; every epoch then passes the rest of the network only.
        schedule: The budget.
        train: Images to train on.
        validation: Images to validate on.
    """
    views = views_shown(schedule.augmentation)
    shown = train * (views if schedule.augmentation == "sixfold" else 1)
    steps = schedule.epochs * shown / speed.images_per_second
    if speed.features_per_second is None:
        return steps + schedule.epochs * validation / speed.predictions_per_second
    return steps + (train * views + validation) / speed.features_per_second


def count_forward_flop(network: nn.Module, image: torch.Tensor) -> int:
    """Count the floating-point operations of one forward pass; a multiply-add is two."""
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    return int(counter.get_total_flops())
