"""What is timed alone on the device, before any cell: every model's training steps, and a calibration workload."""

from __future__ import annotations

from pathlib import Path

from harness.execution.cells import slug
from harness.execution.observer import Observer
from harness.execution.plan import Run, setting_of
from harness.execution.store import RunStore
from harness.processes import uninterrupted
from harness.workers.crew import Worker, ask
from harness.workers.tasks import Measured, MeasureTask


def measure_alone(run: Run, labels: set[str], store: RunStore, cache: Path, observer: Observer) -> dict[str, Measured]:
    """Time each of these models, one after the other, each beside the calibration workload."""
    speeds: dict[str, Measured] = {}
    for place, label in enumerate(sorted(labels), 1):
        speeds[label] = measure_speed(run, label, cache, store.log_file(slug(label)))
        observer.progress("timing models alone", place, len(labels))
    return speeds


def measure_speed(run: Run, label: str, cache: Path, log: Path, *, with_pretraining: bool = False) -> Measured:
    """Time a model's training steps, alone on the device; a model that fails here fails again in its cells."""
    task = MeasureTask(setting_of(run, label, cache, ""), with_pretraining)
    with uninterrupted():
        worker = Worker(label, run.entry(label).registered, log)
    answer = ask(worker, task, run.config.cell_seconds)
    return answer if isinstance(answer, Measured) else Measured(None, None, 0)
