"""Throughput of each model alone on the device, and the calibration workload."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from harness.cache import Cache
from harness.execution.measurements import Speed, StudyMeasurements, model_keys
from harness.planning.observer import Observer
from harness.planning.plan import Run, job_of
from harness.processes import uninterrupted
from harness.store.cells import Cell, slug
from harness.store.run_store import RunStore
from harness.workers.handle import WorkerHandle, ask
from harness.workers.messages import Answer, Failure, Measured, MeasureTask

_ROUNDS, _WORTH_ROUNDS = 3, 20
"""Readings of every speed, and the cells to compute that they are worth the time for."""


def measure_throughputs(
    run: Run, todo: Collection[Cell], store: RunStore, cache: Cache, observer: Observer, study: StudyMeasurements
) -> tuple[dict[str, Speed], dict[str, Failure]]:
    """Time the models of cells, but for those that an earlier run of the study has timed as often.

    Args:
        run: The prepared run.
        todo: Its cells to compute.
        store: Its folder.
        cache: The cache.
        observer: Is told how far it is, and what was not measured.
        study: Gives what was measured before, and takes what is measured now.

    Returns:
        What was measured, and the models of which every cell would fail for the same reason.
    """
    rounds = _ROUNDS if len(todo) >= _WORTH_ROUNDS else 1
    keys = model_keys(run, sorted({cell.label for cell in todo}), cache)
    known = {
        label: speed
        for label, key in keys.items()
        if (speed := study.speeds.get(key)) is not None and speed.rounds >= rounds
    }
    for name in sorted({speed.measured_in or "" for speed in known.values()}):
        labels = [label for label, speed in known.items() if speed.measured_in == name]
        observer.note(f"speeds were measured in {name}, an earlier run of this study: {', '.join(labels)}")
    unknown = [label for label in keys if label not in known]
    found, hopeless = _measure_in_rounds(run, unknown, rounds, store, cache, observer)
    for label, speed in found.items():
        # a failure may not come again, and the speed of a model without steps is that of its cells, hours later
        if speed.measured.throughput is not None:
            study.speeds[keys[label]] = replace(speed, measured_in=store.folder.name)
    return known | found, hopeless


def _measure_in_rounds(
    run: Run, labels: list[str], rounds: int, store: RunStore, cache: Cache, observer: Observer
) -> tuple[dict[str, Speed], dict[str, Failure]]:
    """Time models, one after the other, each beside the calibration workload.

    Several readings are taken in rounds over the models: what disturbs a machine for seconds disturbs one reading of
    each.
    """
    found: dict[str, list[Measured]] = {}
    hopeless: dict[str, Failure] = {}
    without_steps: float | None = None  # the workload beside the first such model, which does for the others
    for place, label in enumerate(labels, 1):
        answer = measure_model(run, label, cache, store.log_file(slug(label)), calibration_seconds=without_steps)
        if isinstance(answer, Failure) and answer.cause == "certain":
            hopeless[label] = answer
        else:
            found[label] = [_measured(label, answer, observer)]
        if isinstance(answer, Measured) and answer.throughput is None:
            without_steps = answer.calibration_seconds
        observer.progress("timing models alone", place, len(labels))
    for _ in range(rounds - 1):
        for label in (label for label, readings in found.items() if readings[0].throughput is not None):
            answer = measure_model(run, label, cache, store.log_file(slug(label)))
            found[label] += [answer] if isinstance(answer, Measured) and answer.throughput is not None else []
    return {label: replace(_combined(readings), rounds=rounds) for label, readings in found.items()}, hopeless


def _combined(readings: list[Measured]) -> Speed:
    """Return the reading of the median calibrated speed; the lower one of two."""
    calibrated = sorted(
        (one.throughput.images_per_second * one.calibration_seconds, place)
        for place, one in enumerate(readings)
        if one.throughput is not None and one.calibration_seconds is not None
    )
    if not calibrated:
        return Speed(readings[0])
    median = readings[calibrated[(len(calibrated) - 1) // 2][1]]
    return Speed(median, tuple(value for value, _ in calibrated))


def _measured(label: str, answer: Answer, observer: Observer) -> Measured:
    if isinstance(answer, Measured):
        return answer
    reason = answer.reason if isinstance(answer, Failure) else "it gave no answer"
    observer.note(f"{label} could not be timed alone ({reason}); table 5 will lack its minutes")
    return Measured(None, None, 0)


def measure_model(
    run: Run,
    label: str,
    cache: Cache,
    log: Path,
    *,
    with_pretraining: bool = False,
    calibration_seconds: float | None = None,
) -> Answer:
    """See that a model can be made, and time its training steps, alone on the device; see :class:`MeasureTask`."""
    task = MeasureTask(job_of(run, label, cache, ""), with_pretraining, calibration_seconds)
    with uninterrupted():
        worker = WorkerHandle(label, run.entry(label).registered.reference, log)
    return ask(worker, task, cache.note, run.config.cell_seconds)
