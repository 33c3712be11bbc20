"""The collector of cells: from an executor's events to the run folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Container, Mapping
from functools import cached_property
from typing import Any

from harness.errors import CellError
from harness.execution.cell_results import (
    done_record,
    epoch_record,
    findings,
    history_table,
    prediction_table,
    reported_speed,
)
from harness.execution.executor import Ended, EpochEnded, Event, Noticed, Stalled, Started
from harness.execution.measurements import Speed
from harness.execution.outcome import Outcome
from harness.execution.tasks import HeldBack, Tasks
from harness.planning.observer import Observer
from harness.planning.plan import Run
from harness.planning.staleness import given_settings
from harness.plugin_api.model import EpochReport
from harness.store.active import ActiveRecord, EpochRecord
from harness.store.cells import Cell
from harness.store.keys import hash_of
from harness.store.run_store import RunStore
from harness.store.schema import ErrorRecord, FailedRecord
from harness.text import duration
from harness.training.calibration import CALIBRATION_VERSION
from harness.training.devices import describe_device, versions
from harness.workers.messages import Failure, FitTask, Fitted

_SHOWN_EPOCHS = 1_000  # of a cell at work: its note is written anew at every epoch


class Collector:
    """Hands out the tasks of cells, and keeps what becomes of them.

    Args:
        run: The prepared run.
        store: Its folder, open for writing.
        tasks: Makes the tasks.
        speeds: What each model does alone, by label.
        observer: Is told of every step.

    Attributes:
        outcome: How the run ended, as far as it has.
        again: Cells that ran out of memory beside others, and are to be tried with nothing beside them.
    """

    def __init__(
        self, run: Run, store: RunStore, tasks: Tasks, speeds: Mapping[str, Speed], observer: Observer
    ) -> None:
        self._run, self._store, self._tasks = run, store, tasks
        self._speeds, self._observer = speeds, observer
        self.outcome = Outcome()
        self.again: list[Cell] = []
        self._held_back: dict[Cell, HeldBack] = {}
        self._started: dict[Cell, Started] = {}
        self._epochs: dict[Cell, list[EpochReport]] = {}
        self._shown: dict[Cell, list[EpochRecord]] = {}
        self._described: set[tuple[str, str]] = set()

    def task(self, cell: Cell, device: str) -> FitTask:
        """Make a cell's task; the names and labels of its test images stay here."""
        task, self._held_back[cell] = self._tasks.make(cell, device)
        return task

    def on_event(self, event: Event) -> None:
        """Store, and tell the observer, what an executor reports.

        Raises:
            EnvironmentMissingError: The run folder cannot be written any more.
        """
        match event:
            case Started(cell):
                self._started[cell], self._epochs[cell], self._shown[cell] = event, [], []
                self._write_active(cell)
                self._observer.started(cell)
            case EpochEnded(cell, report):
                self._epochs[cell].append(report)
                self._shown[cell] = [*self._shown[cell], epoch_record(report)][-_SHOWN_EPOCHS:]
                self._write_active(cell)
                self._observer.epoch(cell, report)
            case Noticed(cell, text):
                self._pass_on(cell, text)
            case Stalled(cell, seconds, pid):
                self._observer.note(
                    f"{cell.name} has not reported for {duration(seconds)} (pid {pid}); "
                    "cell_seconds in the config would end such a cell"
                )
            case Ended(cell):
                self._complete(event)
                self._store.clear_active(cell.name)
                for kept in (self._started, self._epochs, self._shown):
                    kept.pop(cell, None)  # it may have been lost before it was begun

    def give_up(self, cells: list[Cell], failure: Failure, concurrency: int, keep: Container[str]) -> None:
        """Record cells as failed without beginning them: each would fail for the same reason.

        Args:
            cells: Of one model.
            failure: The reason.
            concurrency: Cells at once of the run.
            keep: Names of cells that have results, stale ones, which nothing takes the place of.
        """
        for cell in cells:
            if cell.name in keep:
                self.outcome.failures[cell.name] = failure.reason
            else:
                self._record_failure(cell, failure, concurrency)
        self.outcome.given_up[cells[0].label] = [cell.name for cell in cells]
        self._observer.note(
            f"{cells[0].label} cannot be trained, and none of its {len(cells)} cells is begun: {failure.reason}"
        )

    def _write_active(self, cell: Cell) -> None:
        by, shown = self._started[cell], self._shown[cell]
        note = ActiveRecord(
            pid=by.pid,
            host=by.host,
            epoch=shown[-1].epoch if shown else 0,
            harness_pid=os.getpid(),
            history=shown,
        )
        self._store.set_active(cell.name, note)

    def _pass_on(self, cell: Cell, text: str) -> None:
        """Tell what a cell has noticed, once a model."""
        if (cell.label, text) not in self._described:
            self._described.add((cell.label, text))
            self._observer.note(f"{cell.label}: {text}")

    def _complete(self, ended: Ended) -> None:
        """Keep what a cell has come to: results, a failure, or another chance."""
        cell, answer = ended.cell, ended.answer
        held_back = self._held_back.pop(cell)
        if isinstance(answer, Fitted):
            try:
                self._keep(ended, answer, held_back)
            except CellError as error:
                answer = Failure(str(error))
        if isinstance(answer, Failure):
            if answer.cause == "disk":
                self._store.require_room()  # full for everybody, or is it the plugin's own trouble?
            self._store.discard(held_back.working)  # not before: it may be what fills the disk
            if answer.cause == "memory" and ended.ran_concurrently:
                self.again.append(cell)
                self._observer.note(
                    f"{cell.name} ran out of memory beside others; it is tried again when nothing else runs"
                )
                return
            self._record_failure(cell, answer, ended.concurrency)
            self._observer.failed(cell, answer.reason)
        self._store.drop_checkpoint(cell.name)

    def _keep(self, ended: Ended, fitted: Fitted, held_back: HeldBack) -> None:
        cell, classes = ended.cell, self._run.division.data_set.classes
        predictions = prediction_table(cell, held_back.validation, held_back.test, fitted, classes)
        history = history_table(self._epochs[cell])
        found = findings(self._run.entry(cell.label), fitted, predictions, history, classes)
        found["timings"] |= {"cell_seconds": ended.seconds, **self._timings_alone(ended)}
        record = done_record({"state": "done", **self._identity(cell, ended.concurrency), **found})
        self._store.finish_cell(cell.name, held_back.saved, record, predictions, history)
        self.outcome.computed += 1
        self._observer.finished(cell, record.metrics["balanced_accuracy"], ended.seconds)

    def _timings_alone(self, ended: Ended) -> dict[str, Any]:
        """Return the speeds of a cell's model alone; of a loop of its own those of its reports, if it was alone.

        They are measured on the host. Of a machine of another kind, or with other libraries, nothing is known but what
        a loop of its own reports.
        """
        speed, epochs = self._speeds[ended.cell.label], self._epochs[ended.cell]
        measured = speed.measured
        alone = measured.throughput
        own = reported_speed(epochs) if alone is None and not ended.ran_concurrently else None
        like_host = (self._own_device, self._own_versions)
        if (self._device_of(ended.cell), self._versions_of(ended.cell)) != like_host:
            unknown = {"calibration_seconds": None, "calibration_version": CALIBRATION_VERSION}
            return {"images_per_second_alone": own, **unknown}
        return {
            "images_per_second_alone": alone.images_per_second if alone else own,
            "features_per_second_alone": alone and alone.features_per_second,
            "predictions_per_second_alone": alone and alone.predictions_per_second,
            "calibrated_readings": speed.readings,
            "calibration_seconds": measured.calibration_seconds,
            "calibration_version": CALIBRATION_VERSION,
            "measured_in": speed.measured_in,
        }

    def _record_failure(self, cell: Cell, failure: Failure, concurrency: int) -> None:
        error = ErrorRecord(reason=failure.reason, traceback=failure.traceback)
        self._store.fail_cell(cell.name, FailedRecord(state="failed", **self._identity(cell, concurrency), error=error))
        self.outcome.failures[cell.name] = failure.reason

    def _device_of(self, cell: Cell) -> Mapping[str, Any]:
        started = self._started.get(cell)
        return (started and started.device) or self._own_device

    def _versions_of(self, cell: Cell) -> Mapping[str, str]:
        started = self._started.get(cell)
        return (started and started.versions) or self._own_versions

    def _host_of(self, cell: Cell) -> str:
        """Return the machine on which a cell ran; of one that was never begun, this one."""
        begun = self._started.get(cell)
        return socket.gethostname() if begun is None else begun.host

    @cached_property  # this and what follows: to ask for it at every cell takes as long as much of the rest
    def _comparison_key(self) -> str:
        return hash_of(self._run.comparison.to_json())

    @cached_property
    def _own_versions(self) -> dict[str, str]:
        return versions()

    @cached_property
    def _own_device(self) -> dict[str, Any]:
        return describe_device(self._run.device)

    def _identity(self, cell: Cell, concurrency: int) -> dict[str, Any]:
        entry = self._run.entry(cell.label)
        return {
            "model": cell.label,
            "plugin": {
                "model": entry.registered.model.name,
                "distribution": entry.registered.distribution,
                "files": dict(entry.registered.files),
            },
            "given": given_settings(self._run.config, cell.label),
            "options": entry.options,
            "starts_from": self._run.starts[cell.label],
            "stratum": cell.stratum,
            "fold": cell.fold,
            "seed": cell.seed,
            "key": hash_of(self._run.keys[cell]),
            "key_parts": self._run.keys[cell],
            "device": {**self._device_of(cell), "host": self._host_of(cell)},
            "versions": self._versions_of(cell),
            "concurrency": concurrency,
            "comparison_key": self._comparison_key,
        }
