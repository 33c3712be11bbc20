"""The number of cells at once on a device."""

from __future__ import annotations

from collections.abc import Mapping

import psutil
import torch

from harness.errors import CellError
from harness.execution.measurements import StudyMeasurements
from harness.planning.observer import Observer
from harness.planning.plan import Run
from harness.store.keys import hash_of
from harness.threads import usable_cores
from harness.training.auto import resolve_execution_mode
from harness.training.concurrent import ConcurrentTraining, TrainingSpec
from harness.training.devices import list_devices
from harness.training.torch_model import TorchModel
from harness.workers.messages import Measured

_WORTH = 1.1  # times the speed: what twice the cells must at least bring
_MEMORY_SHARE = 0.8
_SECONDS = 2.0


def choose_jobs(
    run: Run, cells: int, speeds: Mapping[str, Measured], observer: Observer, study: StudyMeasurements
) -> int:
    """Double the cells at once until memory, or what they get done together, says stop.

    Judged by the slowest model, on the first device; other devices of its kind take as many.

    Args:
        run: The prepared run.
        cells: To compute.
        speeds: Of each model alone.
        observer: Is told what was chosen, and why.
        study: Gives what earlier runs have measured of cells at once, and takes what is measured now.
    """
    devices = list_devices(run.device)
    limit = min(cells, _most(run, speeds))
    trained = {
        label: found.throughput.images_per_second
        for label, found in speeds.items()
        if found.throughput and issubclass(run.entry(label).registered.model, TorchModel)
    }
    if not trained:
        return max(1, limit * len(devices))
    label = min(trained, key=lambda name: trained[name])
    jobs, speed = 1, trained[label]
    while 2 * jobs <= limit:
        together = _together(run, label, 2 * jobs, study)
        if together < _WORTH * speed:
            observer.note(f"{2 * jobs} cells of {label} at once train {together / trained[label]:.2f} times as fast")
            break
        jobs, speed = 2 * jobs, together
    gain = f"{speed / trained[label]:.2f} times as fast as one" if jobs > 1 else "more would not be faster"
    observer.note(f"{jobs} cells at once on each of {len(devices)} devices: {gain}")
    return min(cells, jobs * len(devices))


def _most(run: Run, speeds: Mapping[str, Measured]) -> int:
    """How many of the largest cells fit into memory, and on a CPU have cores of their own."""
    peak = max(max((found.peak_memory_bytes for found in speeds.values()), default=0), 1)
    if run.device.type == "cuda":
        return max(1, int(_MEMORY_SHARE * torch.cuda.mem_get_info(run.device)[0] / peak))
    cores = usable_cores() // run.config.threads
    return max(1, min(cores, int(_MEMORY_SHARE * psutil.virtual_memory().available / peak)))


def _together(run: Run, label: str, jobs: int, study: StudyMeasurements) -> float:
    """Let so many cells of a model train at the same time: images a second of all together, 0 where they do not fit."""
    entry, config = run.entry(label), run.config
    order = TrainingSpec(
        entry.registered.plugin,
        entry.registered.model.name,
        entry.options,
        len(run.division.data_set.classes),
        config.pixels.size,
        config.schedule,
        device=list_devices(run.device)[0],
        execution_mode=resolve_execution_mode(config.schedule.execution_mode, run.device.type),
        threads=config.threads,
    )
    key = hash_of([entry.registered.source, repr(order), jobs])
    if key not in study.concurrent:
        try:
            with ConcurrentTraining(order, jobs) as trainings:
                study.concurrent[key] = trainings.images_per_second(_SECONDS)
        except CellError:
            return 0.0
    return study.concurrent[key]
