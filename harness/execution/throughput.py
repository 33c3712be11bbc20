"""Throughput of each model alone on the device, and the calibration workload."""

from __future__ import annotations

from pathlib import Path

from harness.cache import Cache
from harness.planning.observer import Observer
from harness.planning.plan import Run, job_of
from harness.processes import uninterrupted
from harness.store.cells import slug
from harness.store.run_store import RunStore
from harness.workers.handle import WorkerHandle, ask
from harness.workers.messages import Answer, Failure, Measured, MeasureTask


def measure_throughputs(
    run: Run, labels: set[str], store: RunStore, cache: Cache, observer: Observer
) -> tuple[dict[str, Measured], dict[str, Failure]]:
    """Time each of these models, one after the other, each beside the calibration workload.

    Returns:
        What was measured, and the models of which every cell would fail for the same reason.
    """
    speeds: dict[str, Measured] = {}
    hopeless: dict[str, Failure] = {}
    for place, label in enumerate(sorted(labels), 1):
        answer = measure_model(run, label, cache, store.log_file(slug(label)))
        if isinstance(answer, Failure) and answer.cause == "certain":
            hopeless[label] = answer
        else:
            speeds[label] = _measured(label, answer, observer)
        observer.progress("timing models alone", place, len(labels))
    return speeds, hopeless


def _measured(label: str, answer: Answer, observer: Observer) -> Measured:
    if isinstance(answer, Measured):
        return answer
    reason = answer.reason if isinstance(answer, Failure) else "it gave no answer"
    observer.note(f"{label} could not be timed alone ({reason}); table 5 will lack its minutes")
    return Measured(None, None, 0)


def measure_model(run: Run, label: str, cache: Cache, log: Path, *, with_pretraining: bool = False) -> Answer:
    """See that a model can be made, and time its training steps, alone on the device."""
    task = MeasureTask(job_of(run, label, cache, ""), with_pretraining)
    with uninterrupted():
        worker = WorkerHandle(label, run.entry(label).registered, log)
    return ask(worker, task, cache.note, run.config.cell_seconds)
