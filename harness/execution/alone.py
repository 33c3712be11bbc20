"""What is timed alone on the device, before any cell: the calibration workload, and every model's training steps."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.execution.cells import (
    slug,
)
from harness.execution.crew import ask_alone
from harness.execution.observer import Observer
from harness.execution.plan import Run, setting_of
from harness.execution.store import RunStore
from harness.execution.tasks import Measured, MeasureTask
from harness.processes import forkserver
from harness.training.calibration import calibration_seconds


@dataclass(frozen=True)
class Speeds:
    """What was timed alone on the device, before any cell: seconds of the calibration workload, images/s a label."""

    calibration_seconds: float
    images_per_second: dict[str, float | None]


def measure_alone(run: Run, labels: set[str], store: RunStore, cache: Path, observer: Observer) -> Speeds:
    """Time the calibration workload and each of these models, one after the other."""
    speeds: dict[str, float | None] = {}
    calibration = calibrate(run)
    for place, label in enumerate(sorted(labels), 1):
        speeds[label] = measure_speed(run, label, cache, store.log_file(slug(label))).images_per_second
        observer.progress("timing models alone", place, len(labels))
    return Speeds(calibration, speeds)


def measure_speed(run: Run, label: str, cache: Path, log: Path) -> Measured:
    """Time a model's training steps, alone on the device."""
    entry = run.entry(label)
    answer = ask_alone(entry, MeasureTask(setting_of(run, label, cache, "")), log)
    return answer if isinstance(answer, Measured) else Measured(None, 0)


def calibrate(run: Run) -> float:
    """Time the calibration workload in a process of its own, alone on the device."""
    with ProcessPoolExecutor(1, mp_context=forkserver()) as pool:
        return pool.submit(
            _calibrate, run.config.pixels.size, run.config.schedule, str(run.device), run.config.threads
        ).result()


def _calibrate(size: int, schedule: Any, device: str, threads: int) -> float:
    torch.set_num_threads(threads)
    return calibration_seconds(size, schedule, torch.device(device))
