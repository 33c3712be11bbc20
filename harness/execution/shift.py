"""Cells at work: several workers at once, each kept for the cells of one model."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from harness.cache import Cache
from harness.errors import CellError
from harness.execution.cells import Cell, cell_rows, slug
from harness.execution.environment import describe_device, list_devices, versions
from harness.execution.observer import Observer
from harness.execution.patience import Patience
from harness.execution.plan import Run, setting_of
from harness.execution.prepare import hash_of
from harness.execution.records import finished_record, history_table, prediction_table
from harness.execution.saved import SavingFolder
from harness.execution.store import DONE, FAILED, RunStore
from harness.plugin_api.model import EpochReport
from harness.processes import uninterrupted
from harness.protocol.protocols import TEST, TRAIN, VALIDATION
from harness.protocol.splitter import hash_rank
from harness.text import duration
from harness.training.calibration import CALIBRATION_VERSION
from harness.workers.crew import Worker, wait_for_any
from harness.workers.tasks import Answer, Failure, FitTask, Fitted, Measured, Notice

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

    def told_failures(self) -> list[str]:
        """Say in a line each why cells have failed; of a model that was given up, once."""
        together = {cell for cells in self.given_up.values() for cell in cells}
        once = [f"{len(cells)} cells of {label}: {self.failures[cells[0]]}" for label, cells in self.given_up.items()]
        return once + [f"{cell}: {reason}" for cell, reason in self.failures.items() if cell not in together]


@dataclass
class _Seat:
    """A place for one worker at a time."""

    worker: Worker
    device: str
    cell: Cell | None = None
    saved: SavingFolder | None = None
    validation: pd.DataFrame | None = None
    test: pd.DataFrame | None = None
    epochs: list[EpochReport] = field(default_factory=list)
    started: float = 0.0
    patience: Patience = field(default_factory=lambda: Patience(0.0, None))
    crowded: bool = False


class Shift:
    """Works through cells with several workers at once, each kept for the cells of one model."""

    def __init__(
        self, run: Run, store: RunStore, cache: Cache, jobs: int, speeds: Mapping[str, Measured], observer: Observer
    ) -> None:
        self._run, self._store, self._cache, self._jobs = run, store, cache, jobs
        self._speeds, self._observer = speeds, observer
        self.outcome = Outcome()
        self._queues: dict[str, deque[Cell]] = {}
        self._seats: list[_Seat] = []
        self._again: list[Cell] = []
        self._looked_at: set[str] = set()
        self._told: set[tuple[str, str]] = set()

    def work(self, todo: list[Cell]) -> Outcome:
        """Compute the cells; on an interruption every worker is ended and what is finished stays.

        Raises:
            EnvironmentMissingError: The run folder cannot be written any more.
        """
        try:
            self._work_through(todo)
            self._jobs = 1
            self._work_through(self._again)
        finally:
            for seat in self._seats:
                seat.worker.kill()
        return self.outcome

    def give_up(self, cells: list[Cell], failure: Failure) -> None:
        """Record cells as failed without beginning them: each would fail for the same reason."""
        for cell in cells:
            self._record_failure(cell, self._store.working_folder(cell.name), failure)
        self.outcome.given_up[cells[0].label] = [cell.name for cell in cells]
        self._observer.note(
            f"{cells[0].label} cannot be trained, and none of its {len(cells)} cells is begun: {failure.reason}"
        )

    def _work_through(self, todo: list[Cell]) -> None:
        for cell in todo:
            self._queues.setdefault(cell.label, deque()).append(cell)
        while self._fill_seats():
            busy = {seat.worker: seat for seat in self._seats if seat.cell}
            for worker in wait_for_any(busy, self._until_next_look()):
                self._hear(busy[worker], worker.receive())
            self._look_at_the_clock()

    def _until_next_look(self) -> float | None:
        now = time.monotonic()
        due = [seat.patience.next_look(now) for seat in self._seats if seat.cell]
        return min((seconds for seconds in due if seconds is not None), default=None)

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        for seat in [seat for seat in self._seats if seat.cell]:
            if seat.patience.exhausted(now):
                seat.worker.kill()
                limit = f"{self._run.config.cell_seconds:g} s, the config's cell_seconds"
                self._hear(seat, Failure(f"ended after {limit}; it had reported {len(seat.epochs)} epochs"))
            elif (silent := seat.patience.silent_seconds(now)) is not None:
                self._observer.note(
                    f"{_of(seat.cell).name} has not reported for {duration(silent)} (pid {seat.worker.pid}); "
                    "cell_seconds in the config would end such a cell"
                )

    def _fill_seats(self) -> bool:
        """Give every idle worker a cell, start workers while seats are free; False once nothing is left to do."""
        for seat in [seat for seat in self._seats if seat.cell is None]:
            queue = self._queues.get(seat.worker.label)
            if queue and seat.worker.alive:
                self._assign(seat, queue.popleft())
            else:
                seat.worker.kill()
                self._seats.remove(seat)
        while len(self._seats) < self._jobs and (label := self._next_label()):
            model = self._run.entry(label).registered
            with uninterrupted():
                seat = _Seat(Worker(label, model, self._store.log_file(slug(label))), self._emptiest_device())
                self._seats.append(seat)
            self._assign(seat, self._queues[label].popleft())
        busy = [seat for seat in self._seats if seat.cell]
        for seat in busy:
            seat.crowded = seat.crowded or len(busy) > 1
        return bool(busy)

    def _emptiest_device(self) -> str:
        taken = Counter(seat.device for seat in self._seats)
        return min(list_devices(self._run.device), key=lambda device: taken[device])

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
        seat.cell, seat.epochs, seat.started, seat.crowded = cell, [], time.perf_counter(), False
        seat.patience = Patience(time.monotonic(), self._run.config.cell_seconds)
        seat.saved = self._store.saving_folder(self._store.working_folder(cell.name))
        decoded, at = self._run.decoded, (cell.seed, cell.fold)
        setting = setting_of(self._run, cell.label, self._cache, decoded.pixel_key(*at), seat.device)
        seat.worker.send(
            FitTask(
                setting,
                cell.seed,
                self._cache_of(cell, rows, setting.pixels),
                decoded.labeled(*at, train),
                decoded.labeled(*at, seat.validation),
                decoded.rows(*at, seat.test),
                seat.saved.path,
                cell.label not in self._looked_at,
                self._store.checkpoint_folder(cell.name, hash_of(self._run.keys[cell])),
                self._run.config.checkpoint_minutes,
            )
        )
        self._looked_at.add(cell.label)
        self._say_active(seat, 0)
        self._observer.started(cell)

    def _cache_of(self, cell: Cell, rows: pd.DataFrame, pixels: str) -> Path:
        """Return the folder that cells of the same code share if they have the same images on the same sides."""
        sides = rows[["sha256", "side", "label"]].astype(str).agg(" ".join, axis=1)
        code = self._run.entry(cell.label).registered.source
        return self._cache.folder / "plugins" / code[:16] / hash_of([pixels, sorted(sides)])[:32]

    def _say_active(self, seat: _Seat, epoch: int) -> None:
        state = {"pid": seat.worker.pid, "host": socket.gethostname(), "harness_pid": os.getpid(), "epoch": epoch}
        self._store.set_active(_of(seat.cell).name, state)

    def _hear(self, seat: _Seat, answer: Answer) -> None:
        if isinstance(answer, Notice):
            self._pass_on(_of(seat.cell), answer)
            return
        if isinstance(answer, EpochReport):
            seat.epochs.append(answer)
            seat.patience.heard(time.monotonic())
            self._say_active(seat, answer.epoch)
            self._observer.epoch(_of(seat.cell), answer)
            return
        self._settle(seat, answer)
        self._store.clear_active(_of(seat.cell).name)
        seat.cell = None

    def _pass_on(self, cell: Cell, notice: Notice) -> None:
        """Tell what a cell has noticed, once a model."""
        if (cell.label, notice.text) not in self._told:
            self._told.add((cell.label, notice.text))
            self._observer.note(f"{cell.label}: {notice.text}")

    def _settle(self, seat: _Seat, answer: Answer) -> None:
        """Keep what a cell has come to: results, a failure, or another chance."""
        if isinstance(answer, Fitted):
            try:
                self._keep(seat, answer)
            except CellError as error:
                answer = Failure(str(error))
        else:
            answer = answer if isinstance(answer, Failure) else Failure(f"unexpected answer: {type(answer).__name__}")
        if isinstance(answer, Failure):
            if answer.cause == "disk":
                self._store.require_room()  # full for everybody, or is it the plugin's own trouble?
            if answer.cause == "memory" and seat.crowded:
                self._try_again_alone(seat)
                return
            self._record_failure(_of(seat.cell), _of(seat.saved).path.parent, answer)
            self._observer.failed(_of(seat.cell), answer.reason)
        self._store.drop_checkpoint(_of(seat.cell).name)

    def _try_again_alone(self, seat: _Seat) -> None:
        cell = _of(seat.cell)
        self._store.discard(_of(seat.saved).path.parent)
        self._again.append(cell)
        self._observer.note(f"{cell.name} ran out of memory beside others; it is tried again when nothing else runs")

    def _keep(self, seat: _Seat, fitted: Fitted) -> None:
        cell, seconds = _of(seat.cell), time.perf_counter() - seat.started
        predictions = prediction_table(cell, _of(seat.validation), _of(seat.test), fitted)
        history = history_table(seat.epochs)
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
        self._store.finish_cell(cell.name, _of(seat.saved), record, predictions, history)
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
    """Narrow what is set whenever a seat has a cell."""
    if value is None:
        raise AssertionError("a seat without a cell has nothing to tell")
    return value
