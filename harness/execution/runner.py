"""A run: everything from a config to finished cells."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch

from harness.data.manifest import UNPARSED
from harness.data.names import CLASSES
from harness.execution.cells import Cell, ModelEntry, cell_rows, key_parts, model_entries, plan_cells, what_changed
from harness.execution.config import RunConfig, parse_config
from harness.execution.crew import Worker, ask_alone, wait_for_any
from harness.execution.environment import describe_device, git_commit, resolve_device, versions
from harness.execution.inputs import DecodedRun, decode_run, decode_sources, pixel_key, starting_needs
from harness.execution.observer import Observer
from harness.execution.prepare import (
    Division,
    comparison_parts,
    divide,
    hash_of,
    refuse_empty_sides,
    refuse_other_comparison,
)
from harness.execution.records import finished_record, history_table, prediction_table
from harness.execution.store import DONE, FAILED, RunStore
from harness.execution.tasks import Answer, Failure, FitTask, Fitted, Measured, MeasureTask, Setting, SourceRows
from harness.plugin_api.discovery import PluginHost
from harness.plugin_api.model import EpochReport
from harness.processes import forkserver
from harness.protocol.protocols import TEST, TRAIN, VALIDATION
from harness.protocol.splitter import hash_rank
from harness.training.calibration import CALIBRATION_VERSION, calibration_seconds
from harness.training.loop import resolve_precision


T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A run, prepared: all that is needed to compute its cells.

    Attributes:
        name: Of the config.
        config: As resolved.
        entries: Its models.
        division: Who is where.
        decoded: The pixels.
        sources: Source sets by name.
        device: Where cells are computed.
        comparison: What decides the comparison, part by part.
        keys: The key of every planned cell, part by part.
    """

    name: str
    config: RunConfig
    entries: list[ModelEntry]
    division: Division
    decoded: DecodedRun
    sources: dict[str, SourceRows]
    device: torch.device
    comparison: dict[str, Any]
    keys: dict[Cell, dict[str, str]]

    def entry(self, cell: Cell) -> ModelEntry:
        """Return a cell's model."""
        return next(entry for entry in self.entries if entry.label == cell.label)


@dataclass
class Outcome:
    """How a run ended: cells computed now, kept from before, and failed ones with their reasons."""

    computed: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def prepare_run(
    name: str, config: RunConfig, host: PluginHost, store: RunStore, cache: Path, observer: Observer
) -> Run:
    """Check and prepare everything that can fail before training: images, sides, models, weights, the run folder.

    Raises:
        HarnessError: Of the kind that says what is wrong; nothing has been trained or overwritten.
    """
    device = resolve_device(config.device)
    entries = model_entries(config, host)
    division = divide(config, cache, observer.progress)
    _note_unparsed(division, observer)
    refuse_empty_sides(division, config.magnifications)
    precision = resolve_precision(config.schedule, device)
    comparison = comparison_parts(config, division, device.type, precision)
    stored = store.read_run()
    if stored is not None:
        refuse_other_comparison(stored["comparison"], comparison, store.folder)
    division, decoded = decode_run(config, division, cache, observer.progress)
    refuse_empty_sides(division, config.magnifications)
    sources = decode_sources(config, entries, cache, observer.progress)
    inputs = {
        "precision": precision,
        "device_type": device.type,
        "needs": starting_needs(entries, sources),
    }
    keys = {
        cell: key_parts(
            next(entry for entry in entries if entry.label == cell.label),
            cell,
            cell_rows(division, cell),
            config,
            inputs,
        )
        for cell in plan_cells(entries, config, division.protocol.folds)
    }
    return Run(name, config, entries, division, decoded, sources, device, comparison, keys)


def execute(run: Run, store: RunStore, cache: Path, jobs: int, observer: Observer) -> Outcome:
    """Compute the cells that are not done and valid, and keep each as it comes.

    Args:
        run: The prepared run.
        store: Its folder, open for writing.
        cache: The cache folder.
        jobs: Cells at once.
        observer: Is told of every step.

    Returns:
        How it ended. Failed cells are recorded and named; they raise nothing.
    """
    store.sweep()
    store.write_run(_run_record(run, store.read_run()), run.division.manifest, run.division.splits)
    todo = pending_cells(run.keys, store.read_cells())
    outcome = Outcome(kept=len(run.keys) - len(todo))
    observer.planned(todo, outcome.kept, run.config.schedule.epochs)
    if todo:
        speeds = _measure_alone(run, {cell.label for cell in todo}, store, cache, observer)
        _Shift(run, store, cache, jobs, speeds, observer, outcome).work(todo)
    return outcome


def pending_cells(keys: Mapping[Cell, Mapping[str, str]], stored: Mapping[str, dict[str, Any]]) -> list[Cell]:
    """List the planned cells that are missing, failed or stale."""
    return [
        cell
        for cell, parts in keys.items()
        if (record := stored.get(cell.name)) is None
        or record["state"] != DONE
        or what_changed(record["key_parts"], parts)
    ]


def setting_of(run: Run, label: str, cache: Path, pixels: str) -> Setting:
    """Collect what all cells of a model have in common."""
    entry = next(entry for entry in run.entries if entry.label == label)
    wanted = entry.make().requirements().sources
    return Setting(
        options=entry.options,
        classes=CLASSES,
        size=run.config.pixels.size,
        device=str(run.device),
        threads=run.config.threads,
        schedule=run.config.schedule,
        sources={name: run.sources[name] for name in wanted},
        cache=cache,
        code=entry.registered.source,
        pixels=pixels,
    )


def measure_speed(run: Run, label: str, cache: Path, log: Path) -> Measured:
    """Time a model's training steps, alone on the device."""
    entry = next(entry for entry in run.entries if entry.label == label)
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


@dataclass(frozen=True)
class _Speeds:
    """What was timed alone on the device, before any cell: seconds of the calibration workload, images/s a label."""

    calibration_seconds: float
    images_per_second: dict[str, float | None]


def _measure_alone(run: Run, labels: set[str], store: RunStore, cache: Path, observer: Observer) -> _Speeds:
    speeds: dict[str, float | None] = {}
    calibration = calibrate(run)
    for place, label in enumerate(sorted(labels), 1):
        speeds[label] = measure_speed(run, label, cache, _log_file(store, label)).images_per_second
        observer.progress("timing models alone", place, len(labels))
    return _Speeds(calibration, speeds)


@dataclass
class _Seat:
    """A place for one worker at a time."""

    worker: Worker
    cell: Cell | None = None
    working: Path | None = None
    validation: pd.DataFrame | None = None
    test: pd.DataFrame | None = None
    epochs: list[EpochReport] = field(default_factory=list)
    started: float = 0.0


class _Shift:
    """Works through cells with several workers at once, each kept for the cells of one model."""

    def __init__(
        self, run: Run, store: RunStore, cache: Path, jobs: int, speeds: _Speeds, observer: Observer, outcome: Outcome
    ) -> None:
        self._run, self._store, self._cache, self._jobs = run, store, cache, jobs
        self._speeds, self._observer, self._outcome = speeds, observer, outcome
        self._queues: dict[str, deque[Cell]] = {}
        self._seats: list[_Seat] = []

    def work(self, todo: list[Cell]) -> None:
        """Compute the cells; on an interruption every worker is ended and what is finished stays."""
        for cell in todo:
            self._queues.setdefault(cell.label, deque()).append(cell)
        try:
            while self._fill_seats():
                busy = {seat.worker: seat for seat in self._seats if seat.cell}
                for worker in wait_for_any(busy):
                    self._hear(busy[worker], worker.receive())
            for seat in self._seats:
                seat.worker.dismiss()
        except BaseException:
            for seat in self._seats:
                seat.worker.kill()
            raise

    def _fill_seats(self) -> bool:
        """Give every idle worker a cell, start workers while seats are free; False once nothing is left to do."""
        for seat in [seat for seat in self._seats if seat.cell is None]:
            queue = self._queues.get(seat.worker.label)
            if queue and seat.worker.alive:
                self._assign(seat, queue.popleft())
            else:
                seat.worker.dismiss()
                self._seats.remove(seat)
        while len(self._seats) < self._jobs and (label := self._next_label()):
            entry = next(entry for entry in self._run.entries if entry.label == label)
            seat = _Seat(Worker(entry, _log_file(self._store, label)))
            self._seats.append(seat)
            self._assign(seat, self._queues[label].popleft())
        return any(seat.cell for seat in self._seats)

    def _next_label(self) -> str | None:
        """Prefer a model that nobody works on; otherwise help where most is left."""
        staffed = {seat.worker.label for seat in self._seats}
        waiting = [label for label, queue in self._queues.items() if queue]
        alone = [label for label in waiting if label not in staffed]
        return alone[0] if alone else max(waiting, key=lambda label: len(self._queues[label]), default=None)

    def _assign(self, seat: _Seat, cell: Cell) -> None:
        rows = cell_rows(self._run.division, cell)
        train, seat.validation, test = (rows[rows["side"] == side] for side in (TRAIN, VALIDATION, TEST))
        # Sorted by name, test images would come class by class and patient by patient
        seat.test = test.iloc[test["name"].map(lambda name: hash_rank(cell.seed, name)).argsort()]
        seat.cell, seat.epochs, seat.started = cell, [], time.perf_counter()
        seat.working = self._store.working_folder(cell.name)
        decoded, at = self._run.decoded, (cell.seed, cell.fold)
        setting = setting_of(self._run, cell.label, self._cache, pixel_key(decoded.recipes[at]))
        seat.worker.send(
            FitTask(
                setting,
                cell.seed,
                decoded.labeled(*at, train),
                decoded.labeled(*at, seat.validation),
                decoded.rows(*at, seat.test),
                seat.working,
            )
        )
        self._say_active(seat, 0)
        self._observer.started(cell)

    def _say_active(self, seat: _Seat, epoch: int) -> None:
        state = {"pid": seat.worker.pid, "host": socket.gethostname(), "harness_pid": os.getpid(), "epoch": epoch}
        self._store.set_active(_of(seat.cell).name, state)

    def _hear(self, seat: _Seat, answer: Answer) -> None:
        if isinstance(answer, EpochReport):
            seat.epochs.append(answer)
            self._say_active(seat, answer.epoch)
            self._observer.epoch(_of(seat.cell), answer)
            return
        if isinstance(answer, Fitted):
            self._keep(seat, answer)
        else:
            self._record_failure(seat, answer if isinstance(answer, Failure) else Failure(f"unexpected {answer!r}"))
        self._store.clear_active(_of(seat.cell).name)
        seat.cell = None

    def _keep(self, seat: _Seat, fitted: Fitted) -> None:
        cell, seconds = _of(seat.cell), time.perf_counter() - seat.started
        predictions = prediction_table(cell, _of(seat.validation), _of(seat.test), fitted)
        history = history_table(seat.epochs)
        finished = finished_record(self._run.entry(cell), fitted, predictions, history)
        finished["timings"] |= {
            "cell_seconds": seconds,
            "images_per_second_alone": self._speeds.images_per_second[cell.label],
            "calibration_seconds": self._speeds.calibration_seconds,
            "calibration_version": CALIBRATION_VERSION,
        }
        record = {"state": DONE, **self._identity(cell), **finished, "error": None}
        self._store.finish_cell(cell.name, _of(seat.working), record, predictions, history)
        self._outcome.computed += 1
        self._observer.finished(cell, finished["metrics"]["balanced_accuracy"], seconds)

    def _record_failure(self, seat: _Seat, failure: Failure) -> None:
        cell = _of(seat.cell)
        error = {"reason": failure.reason, "traceback": failure.traceback}
        self._store.fail_cell(cell.name, _of(seat.working), {"state": FAILED, **self._identity(cell), "error": error})
        self._outcome.failures[cell.name] = failure.reason
        self._observer.failed(cell, failure.reason)

    def _identity(self, cell: Cell) -> dict[str, Any]:
        entry = self._run.entry(cell)
        return {
            "model": cell.label,
            "plugin": {"model": entry.registered.model.name, "distribution": entry.registered.distribution},
            "options": entry.options,
            "magnification": cell.magnification,
            "fold": cell.fold,
            "seed": cell.seed,
            "key": hash_of(self._run.keys[cell]),
            "key_parts": self._run.keys[cell],
            "comparison_key": hash_of(self._run.comparison),
            "device": describe_device(self._run.device),
            "concurrency": self._jobs,
            "versions": versions(),
        }


def _run_record(run: Run, stored: dict[str, Any] | None) -> dict[str, Any]:
    """Return ``run.json``; models and magnifications that were in the run before stay in it."""
    config = run.config
    if stored is not None:
        before = parse_config(stored["config"], "run.json")
        config = config.model_copy(
            update={
                "models": {**before.models, **config.models},
                "magnifications": tuple(sorted({*before.magnifications, *config.magnifications})),
            }
        )
    return {
        "name": run.name,
        "config": config.model_dump(mode="json"),
        "data_folder": str(run.division.folder.resolve()),
        "protocol": {
            "name": run.division.protocol.name,
            "title": run.division.protocol.title,
            "cross_validates": run.division.protocol.cross_validates,
            "shared_accessions": run.division.shared_accessions,
        },
        "leaks": [str(leak) for leak in run.division.leaks],
        "leaky": bool(run.division.leaks) or run.division.protocol.leaks,
        "comparison": run.comparison,
        "comparison_key": hash_of(run.comparison),
        "device": describe_device(run.device),
        "versions": versions(),
        "git_commit": git_commit(),
    }


def _note_unparsed(division: Division, observer: Observer) -> None:
    unparsed = division.manifest[division.manifest["state"] == UNPARSED]
    if len(unparsed):
        named = ", ".join(unparsed["file"][:3]) + (", ..." if len(unparsed) > 3 else "")
        observer.note(f"{len(unparsed)} files without an official BreakHis name are left out: {named}")


def _log_file(store: RunStore, label: str) -> Path:
    return store.folder / "logs" / f"{Cell(label, 0, 0, 0).name.split('-0x')[0]}.log"


def _of(value: T | None) -> T:
    """Narrow what is set whenever a seat has a cell."""
    if value is None:
        raise AssertionError("a seat without a cell has nothing to tell")
    return value
