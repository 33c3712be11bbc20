"""The executor of cells on this machine: worker processes, each kept for the cells of one model."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from harness.cache import Cache
from harness.errors import CellError
from harness.execution.collect import finished_record, history_table, prediction_table
from harness.execution.watchdog import Watchdog
from harness.planning.cell_keys import cell_rows
from harness.planning.observer import Observer
from harness.planning.plan import Run, job_of
from harness.plugin_api.model import EpochReport
from harness.processes import uninterrupted
from harness.protocol.group_assignment import hash_rank
from harness.protocol.names import TEST, TRAIN, VALIDATION
from harness.store.artifacts import SavingFolder
from harness.store.cells import Cell, slug
from harness.store.keys import hash_of
from harness.store.run_folder import DONE, FAILED
from harness.store.run_store import RunStore
from harness.text import duration
from harness.training.calibration import CALIBRATION_VERSION
from harness.training.devices import describe_device, list_devices, versions
from harness.workers.handle import WorkerHandle, wait_for_any
from harness.workers.messages import Answer, Failure, FitTask, Fitted, Measured, Notice

T = TypeVar("T")


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        computed: Cells computed now.
        kept: Cells kept from before.
        failures: Why cells have failed, by name.
        given_up: Names of the cells of each model that cannot be trained at all; they are among the failures.
    """

    computed: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    given_up: dict[str, list[str]] = field(default_factory=dict)

    def failure_messages(self) -> list[str]:
        """Say in a line each why cells have failed; of a model that was given up, once."""
        together = {cell for cells in self.given_up.values() for cell in cells}
        once = [f"{len(cells)} cells of {label}: {self.failures[cells[0]]}" for label, cells in self.given_up.items()]
        return once + [f"{cell}: {reason}" for cell, reason in self.failures.items() if cell not in together]


@dataclass
class _Slot:
    """A place for one worker at a time."""

    worker: WorkerHandle
    device: str
    cell: Cell | None = None
    saved: SavingFolder | None = None
    validation: pd.DataFrame | None = None
    test: pd.DataFrame | None = None
    epochs: list[EpochReport] = field(default_factory=list)
    started: float = 0.0
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(0.0, None))
    ran_concurrently: bool = False


class LocalExecutor:
    """Works through cells with several workers at once, each kept for the cells of one model."""

    def __init__(
        self, run: Run, store: RunStore, cache: Cache, jobs: int, speeds: Mapping[str, Measured], observer: Observer
    ) -> None:
        self._run, self._store, self._cache, self._jobs = run, store, cache, jobs
        self._speeds, self._observer = speeds, observer
        self.outcome = Outcome()
        self._queues: dict[str, deque[Cell]] = {}
        self._slots: list[_Slot] = []
        self._again: list[Cell] = []
        self._looked_at: set[str] = set()
        self._described: set[tuple[str, str]] = set()

    def work(self, todo: list[Cell]) -> Outcome:
        """Compute the cells; on an interruption every worker is ended and what is finished stays.

        Raises:
            EnvironmentMissingError: The run folder cannot be written any more.
        """
        try:
            self._run_cells(todo)
            self._jobs = 1
            self._run_cells(self._again)
        finally:
            for slot in self._slots:
                slot.worker.kill()
        return self.outcome

    def give_up(self, cells: list[Cell], failure: Failure, keep: Container[str]) -> None:
        """Record cells as failed without beginning them: each would fail for the same reason.

        Args:
            cells: Of one model.
            failure: The reason.
            keep: Names of cells that have results, stale ones, which nothing takes the place of.
        """
        for cell in cells:
            if cell.name in keep:
                self.outcome.failures[cell.name] = failure.reason
            else:
                self._record_failure(cell, self._store.working_folder(cell.name), failure)
        self.outcome.given_up[cells[0].label] = [cell.name for cell in cells]
        self._observer.note(
            f"{cells[0].label} cannot be trained, and none of its {len(cells)} cells is begun: {failure.reason}"
        )

    def _run_cells(self, todo: list[Cell]) -> None:
        for cell in todo:
            self._queues.setdefault(cell.label, deque()).append(cell)
        while self._fill_slots():
            busy = {slot.worker: slot for slot in self._slots if slot.cell}
            for worker in wait_for_any(busy, self._seconds_to_next_check()):
                self._on_message(busy[worker], worker.receive())
            self._check_watchdogs()

    def _seconds_to_next_check(self) -> float | None:
        now = time.monotonic()
        due = [slot.watchdog.seconds_to_next_check(now) for slot in self._slots if slot.cell]
        return min((seconds for seconds in due if seconds is not None), default=None)

    def _check_watchdogs(self) -> None:
        now = time.monotonic()
        for slot in [slot for slot in self._slots if slot.cell]:
            if slot.watchdog.timed_out(now):
                slot.worker.kill()
                limit = f"{self._run.config.cell_seconds:g} s, the config's cell_seconds"
                self._on_message(slot, Failure(f"ended after {limit}; it had reported {len(slot.epochs)} epochs"))
            elif (silent := slot.watchdog.stalled_seconds(now)) is not None:
                self._observer.note(
                    f"{_of(slot.cell).name} has not reported for {duration(silent)} (pid {slot.worker.pid}); "
                    "cell_seconds in the config would end such a cell"
                )

    def _fill_slots(self) -> bool:
        """Give every idle worker a cell, start workers while slots are free; False once nothing is left to do."""
        for slot in [slot for slot in self._slots if slot.cell is None]:
            queue = self._queues.get(slot.worker.label)
            if queue and slot.worker.alive:
                self._assign(slot, queue.popleft())
            else:
                slot.worker.kill()
                self._slots.remove(slot)
        while len(self._slots) < self._jobs and (label := self._next_label()):
            model = self._run.entry(label).registered
            with uninterrupted():
                slot = _Slot(WorkerHandle(label, model, self._store.log_file(slug(label))), self._emptiest_device())
                self._slots.append(slot)
            self._assign(slot, self._queues[label].popleft())
        busy = [slot for slot in self._slots if slot.cell]
        for slot in busy:
            slot.ran_concurrently = slot.ran_concurrently or len(busy) > 1
        return bool(busy)

    def _emptiest_device(self) -> str:
        taken = Counter(slot.device for slot in self._slots)
        return min(list_devices(self._run.device), key=lambda device: taken[device])

    def _next_label(self) -> str | None:
        """Prefer a model that nobody works on; otherwise help where most is left."""
        staffed = {slot.worker.label for slot in self._slots}
        waiting = [label for label, queue in self._queues.items() if queue]
        alone = [label for label in waiting if label not in staffed]
        return alone[0] if alone else max(waiting, key=lambda label: len(self._queues[label]), default=None)

    def _assign(self, slot: _Slot, cell: Cell) -> None:
        rows = cell_rows(self._run.division, cell)
        train, slot.validation, test = (rows[rows["side"] == side] for side in (TRAIN, VALIDATION, TEST))
        # Sorted by name, test images would come class by class and patient by patient
        slot.test = test.iloc[test["name"].map(lambda name: hash_rank(cell.seed, name)).argsort()]
        slot.cell, slot.epochs, slot.started, slot.ran_concurrently = cell, [], time.perf_counter(), False
        slot.watchdog = Watchdog(time.monotonic(), self._run.config.cell_seconds)
        slot.saved = self._store.saving_folder(self._store.working_folder(cell.name))
        decoded, at = self._run.decoded, (cell.seed, cell.fold)
        setting = job_of(self._run, cell.label, self._cache, decoded.pixel_key(*at), slot.device)
        slot.worker.send(
            FitTask(
                setting,
                cell.seed,
                self._cache_of(cell, rows, setting.pixels),
                decoded.labeled(*at, train),
                decoded.labeled(*at, slot.validation),
                decoded.rows(*at, slot.test),
                slot.saved.path,
                cell.label not in self._looked_at,
                self._store.checkpoint_folder(cell.name, hash_of(self._run.keys[cell])),
                self._run.config.checkpoint_minutes,
            )
        )
        self._looked_at.add(cell.label)
        self._write_active(slot, 0)
        self._observer.started(cell)

    def _cache_of(self, cell: Cell, rows: pd.DataFrame, pixels: str) -> Path:
        """Return the folder that cells of the same code share if they have the same images on the same sides."""
        sides = rows[["sha256", "side", "label"]].astype(str).agg(" ".join, axis=1)
        code = self._run.entry(cell.label).registered.source
        return self._cache.folder / "plugins" / code[:16] / hash_of([pixels, sorted(sides)])[:32]

    def _write_active(self, slot: _Slot, epoch: int) -> None:
        state = {"pid": slot.worker.pid, "host": socket.gethostname(), "harness_pid": os.getpid(), "epoch": epoch}
        self._store.set_active(_of(slot.cell).name, state)

    def _on_message(self, slot: _Slot, answer: Answer) -> None:
        if isinstance(answer, Notice):
            self._pass_on(_of(slot.cell), answer)
            return
        if isinstance(answer, EpochReport):
            slot.epochs.append(answer)
            slot.watchdog.progress_seen(time.monotonic())
            self._write_active(slot, answer.epoch)
            self._observer.epoch(_of(slot.cell), answer)
            return
        self._complete(slot, answer)
        self._store.clear_active(_of(slot.cell).name)
        slot.cell = None

    def _pass_on(self, cell: Cell, notice: Notice) -> None:
        """Tell what a cell has noticed, once a model."""
        if (cell.label, notice.text) not in self._described:
            self._described.add((cell.label, notice.text))
            self._observer.note(f"{cell.label}: {notice.text}")

    def _complete(self, slot: _Slot, answer: Answer) -> None:
        """Keep what a cell has come to: results, a failure, or another chance."""
        if isinstance(answer, Fitted):
            try:
                self._keep(slot, answer)
            except CellError as error:
                answer = Failure(str(error))
        else:
            answer = answer if isinstance(answer, Failure) else Failure(f"unexpected answer: {type(answer).__name__}")
        if isinstance(answer, Failure):
            if answer.cause == "disk":
                self._store.require_room()  # full for everybody, or is it the plugin's own trouble?
            if answer.cause == "memory" and slot.ran_concurrently:
                self._retry_alone(slot)
                return
            self._record_failure(_of(slot.cell), _of(slot.saved).path.parent, answer)
            self._observer.failed(_of(slot.cell), answer.reason)
        self._store.drop_checkpoint(_of(slot.cell).name)

    def _retry_alone(self, slot: _Slot) -> None:
        cell = _of(slot.cell)
        self._store.discard(_of(slot.saved).path.parent)
        self._again.append(cell)
        self._observer.note(f"{cell.name} ran out of memory beside others; it is tried again when nothing else runs")

    def _keep(self, slot: _Slot, fitted: Fitted) -> None:
        cell, seconds = _of(slot.cell), time.perf_counter() - slot.started
        predictions = prediction_table(cell, _of(slot.validation), _of(slot.test), fitted)
        history = history_table(slot.epochs)
        finished = finished_record(self._run.entry(cell.label), fitted, predictions, history)
        measured = self._speeds[cell.label]
        alone = measured.throughput
        finished["timings"] |= {
            "cell_seconds": seconds,
            "images_per_second_alone": alone and alone.images_per_second,
            "features_per_second_alone": alone and alone.features_per_second,
            "predictions_per_second_alone": alone and alone.predictions_per_second,
            "calibration_seconds": measured.calibration_seconds,
            "calibration_version": CALIBRATION_VERSION,
        }
        record = {"state": DONE, **self._identity(cell), **finished, "error": None}
        self._store.finish_cell(cell.name, _of(slot.saved), record, predictions, history)
        self.outcome.computed += 1
        self._observer.finished(cell, finished["metrics"]["balanced_accuracy"], seconds)

    def _record_failure(self, cell: Cell, working: Path, failure: Failure) -> None:
        error = {"reason": failure.reason, "traceback": failure.traceback}
        self._store.fail_cell(cell.name, working, {"state": FAILED, **self._identity(cell), "error": error})
        self.outcome.failures[cell.name] = failure.reason

    def _identity(self, cell: Cell) -> dict[str, Any]:
        entry = self._run.entry(cell.label)
        return {
            "model": cell.label,
            "plugin": {
                "model": entry.registered.model.name,
                "distribution": entry.registered.distribution,
                "files": dict(entry.registered.files),
            },
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


def _of(value: T | None) -> T:
    """Narrow what is set whenever a slot has a cell."""
    if value is None:
        raise AssertionError("a slot without a cell has nothing to report")
    return value
