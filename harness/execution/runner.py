"""The runner: from a plan to finished cells."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from harness.cache import Cache
from harness.errors import EnvironmentMissingError, UsageError, did_you_mean
from harness.execution.collect import Collector
from harness.execution.concurrency import choose_jobs
from harness.execution.executor import Executor, ExecutorChoice, ExecutorName, ExecutorSetup
from harness.execution.local_executor import LocalExecutor
from harness.execution.measurements import Speed, StudyMeasurements
from harness.execution.outcome import Outcome
from harness.execution.shared_features import SharedFeatures
from harness.execution.tasks import Tasks
from harness.execution.throughput import measure_throughputs
from harness.execution.trial import try_models, untried_models
from harness.planning.observer import Observer
from harness.planning.plan import Run
from harness.planning.run_record import added_to, run_record
from harness.planning.staleness import pending_cells
from harness.processes import adopt_orphans
from harness.store.cells import Cell, slug
from harness.store.keys import what_changed
from harness.store.run_store import RunStore
from harness.store.schema import CellRecord, DoneRecord
from harness.training.devices import describe_device, list_devices

OpenExecutor = Callable[[ExecutorSetup], Executor]


def _local_executor(_address: str) -> OpenExecutor:
    return LocalExecutor


def _ray_executor(address: str) -> OpenExecutor:
    try:
        from harness.execution.ray_cluster import refuse_unreachable  # noqa: PLC0415 - an extra
        from harness.execution.ray_executor import RayExecutor  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise EnvironmentMissingError(
            "the executor 'ray' needs Ray, which is not installed - pip install 'breakhis-harness[ray]'"
        ) from error
    refuse_unreachable(address)
    return RayExecutor


EXECUTORS: Mapping[ExecutorName, Callable[[str], OpenExecutor]] = {"local": _local_executor, "ray": _ray_executor}
"""What can run cells, by the name that ``--executor`` takes: found by the address of its cluster."""


def execute(
    run: Run, store: RunStore, cache: Cache, observer: Observer, chosen: ExecutorChoice, study: StudyMeasurements
) -> Outcome:
    """Compute the cells that are not done and valid, and keep each as it comes.

    Args:
        run: The prepared run.
        store: Its folder, open for writing.
        cache: The cache.
        observer: Is told of every step.
        chosen: What runs the cells, and how many at once.
        study: Gives what earlier runs of a study have measured of models, and takes what is measured now.

    Returns:
        How it ended. Failed cells are recorded and named; they raise nothing.

    Raises:
        UsageError: There is no such executor.
        EnvironmentMissingError: What it needs is not there.
    """
    open_executor = _find_executor(chosen)
    adopt_orphans()  # so that what a plugin has started ends with the run, even if the process between is killed
    stored = _open_folder(run, store, observer)
    todo = pending_cells(run.keys, stored)
    _note_stale(run, stored, observer)
    kept = len(run.keys) - len(todo)
    observer.planned(todo, kept, run.config.schedule.epochs)
    if not todo:
        return Outcome(kept=kept)
    speeds, hopeless = measure_throughputs(run, todo, store, cache, observer, study)
    untried = untried_models(run.keys, stored) & speeds.keys()
    hopeless |= try_models(run, untried, store, cache, observer, study, chosen.jobs)
    measured = {label: speed.measured for label, speed in speeds.items()}
    jobs = choose_jobs(run, len(todo), measured, observer, study) if chosen.jobs is None else chosen.jobs
    finished = {name for name, record in stored.items() if isinstance(record, DoneRecord)}
    features = SharedFeatures(run, store, cache, jobs, observer, study)
    collector = Collector(run, store, Tasks(run, store, cache, features.folders), speeds, observer)
    for label, failure in hopeless.items():
        collector.give_up([cell for cell in todo if cell.label == label], failure, jobs, keep=finished)
    setup = _setup(run, store, collector, speeds, chosen)
    work = partial(_compute, collector, open_executor, setup)
    throughputs = {label: one.throughput for label, one in measured.items()}
    for cells in features.rounds([cell for cell in todo if cell.label not in hopeless], throughputs):
        work(cells, jobs)
    if collector.again:
        work(collector.again, 1)
    return replace(collector.outcome, kept=kept)


def _open_folder(run: Run, store: RunStore, observer: Observer) -> dict[str, CellRecord]:
    """Write down what the run is, and return the sound cells that are there."""
    store.sweep()
    record = run_record(run.name, run.division, run.comparison, describe_device(run.device))
    store.write_run(added_to(record, store.read_run()), run.division.manifest, run.division.splits)
    damage = store.find_damage(thorough=True)
    for cell in run.keys:
        if cell.name in damage:
            observer.note(f"cell {cell.name} is damaged: {damage[cell.name]}; it is computed again")
    return store.read_cells(without=damage)


def _find_executor(chosen: ExecutorChoice) -> OpenExecutor:
    name = chosen.name
    if name not in EXECUTORS:
        raise UsageError(f"no executor '{name}'{did_you_mean(name, EXECUTORS)} (it is {', '.join(EXECUTORS)})")
    return EXECUTORS[name](chosen.address)


def _setup(
    run: Run, store: RunStore, collector: Collector, speeds: Mapping[str, Speed], chosen: ExecutorChoice
) -> ExecutorSetup:
    return ExecutorSetup(
        models={entry.label: entry.registered for entry in run.entries},
        task=collector.task,
        log_file=lambda label: store.log_file(slug(label)),
        devices=list_devices(run.device),
        jobs=1,
        cell_seconds=run.config.cell_seconds,
        libraries_may_differ=run.config.other_versions == "name",
        threads=run.config.threads,
        starts={label: start.files for label, start in run.starts.items()},
        peak_bytes=max((speed.measured.peak_memory_bytes for speed in speeds.values()), default=0),
        address=chosen.address,
    )


def _compute(
    collector: Collector, open_executor: OpenExecutor, setup: ExecutorSetup, cells: list[Cell], jobs: int
) -> None:
    """Compute cells; on an interruption every worker is ended and what is finished stays."""
    with contextlib.closing(open_executor(replace(setup, jobs=jobs))) as executor:
        for cell in cells:
            executor.submit(cell)
        for event in executor.events():
            collector.on_event(event)


def _note_stale(run: Run, stored: Mapping[str, CellRecord], observer: Observer) -> None:
    """Say which finished cells are computed again, and what has changed since."""
    stale: dict[str, list[str]] = {}
    for cell, parts in run.keys.items():
        record = stored.get(cell.name)
        if isinstance(record, DoneRecord) and (changed := what_changed(record.key_parts, parts)):
            stale.setdefault(f"{cell.label}: {', '.join(changed)} changed", []).append(cell.name)
    for reason, cells in stale.items():
        observer.note(f"{reason}; {len(cells)} finished cells are computed again")
