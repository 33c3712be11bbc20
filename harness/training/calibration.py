"""A fixed workload that times the machine.

Seconds from two machines cannot be compared; multiples of a calibration workload that each ran alone can, roughly.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from harness.plugin_api.model import LabeledImages
from harness.plugin_api.schedule import Schedule
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation

CALIBRATION_VERSION = 1
"""Raise it when the workload below changes; calibrated costs of different versions cannot be compared."""

_STEPS = 20
_LEAST_SECONDS = 0.25  # of each of three timings: shorter ones differ by a quarter on a quiet machine
_TURNS, _FEWEST_TURNS = 8, 2
_TURN_SECONDS, _MOST_SECONDS = 0.1, 4.0


def calibration_seconds(size: int, schedule: Schedule, device: torch.device) -> float:
    """Time 20 training steps of a fixed small convolutional network at the run's size, batch and precision.

    Args:
        size: Side of the square images in pixels.
        schedule: Gives batch size and precision; nothing else of it matters.
        device: Where to run, with nothing else running there.

    Returns:
        Seconds for the 20 steps, from the median step after warm-up.
    """
    trainer = _trainer(size, schedule, device)
    images_per_second = float(np.median([trainer.measure_throughput(_LEAST_SECONDS) for _ in range(3)]))
    return _STEPS * schedule.batch_size / images_per_second


def calibrated_speed(trainer: Trainer, size: int, schedule: Schedule, device: torch.device) -> float:
    """Train a network and the workload in short turns, and return images trained on while the workload takes 20 steps.

    What slows a machine down for a second slows both of two turns, so their ratio scatters half as much as that of two
    speeds measured one after the other; it is the median of all.

    Args:
        trainer: Of the network, on batches of the schedule's size.
        size: As :func:`calibration_seconds` takes it, and the rest.
        schedule: Likewise.
        device: Likewise.
    """
    steps = trainer.timed_step(), _trainer(size, schedule, device).timed_step()
    for step in steps:
        step()  # to warm up
    ratios: list[float] = []
    started = time.perf_counter()
    while len(ratios) < _FEWEST_TURNS or (len(ratios) < _TURNS and time.perf_counter() - started < _MOST_SECONDS):
        own, workload = (_turn(step) for step in steps)
        ratios.append(workload / own)
    return _STEPS * schedule.batch_size * float(np.median(ratios))


def _turn(step: Callable[[], float]) -> float:
    """Return the seconds of the median step of a short turn."""
    seconds: list[float] = []
    while sum(seconds) < _TURN_SECONDS:
        seconds.append(step())
    return float(np.median(seconds))


def _trainer(size: int, schedule: Schedule, device: torch.device) -> Trainer:
    generator = torch.Generator().manual_seed(0)
    batch = schedule.batch_size
    images = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, generator=generator).to(device)
    labels = torch.arange(batch, device=device) % 2
    torch.manual_seed(0)
    steps = Schedule(batch_size=batch, augmentation="random", precision=schedule.precision)
    plan = TrainingPlan("calibration", steps, (), Normalisation(), n_classes=2, seed=0)
    return Trainer(_workload().to(device), plan, LabeledImages(images, labels))


def _workload() -> nn.Module:
    return nn.Sequential(
        *_block(3, 32),
        *_block(32, 64),
        *_block(64, 128),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 2),
    )


def _block(n_in: int, n_out: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()
