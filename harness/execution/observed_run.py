"""A run that observers of plugins watch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from harness.config.run_config import RunConfig
from harness.execution.cell_results import epoch_record
from harness.execution.observer_request import ChosenObserver
from harness.execution.outcome import Outcome
from harness.planning.observer import Observer
from harness.planning.staleness import given_settings
from harness.store.cells import Cell, slug
from harness.store.checksums import RECORD
from harness.store.json_files import read_json
from harness.store.run_store import RunStore
from harness.workers import observer_handle
from harness.workers.observer_handle import ObserverHandle, ObserverLostError

if TYPE_CHECKING:
    from harness.plugin_api.model import EpochReport

State = Literal["finished", "interrupted", "stopped"]


class ObservedRun(Observer):
    """Passes on what happens to the observer at hand, and published records of it to the processes of others.

    An observer that is lost is noted once, and the run goes on without it. Where no cell is computed, nobody is told
    of anything.

    Args:
        observer: The observer at hand, such as the display.
        chosen: What else is to watch.
        store: The run's folder, open for writing.
    """

    def __init__(self, observer: Observer, chosen: Sequence[ChosenObserver], store: RunStore) -> None:
        self._observer, self._chosen, self._store = observer, chosen, store
        self._handles: list[ObserverHandle] = []
        self._config: RunConfig | None = None
        self._outcome = Outcome()
        self._state: State | None = None

    def __enter__(self) -> Self:
        """Start the processes: what they import is in memory before a model is timed."""
        try:
            for one in self._chosen:
                log = self._store.log_file(f"observer-{slug(one.registered.observer.name)}")
                self._handles.append(ObserverHandle(one.registered, one.options, log))
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Say how the run has ended, and give observers a few seconds to end as well."""
        state: State = "interrupted" if kind and issubclass(kind, KeyboardInterrupt) else "stopped"
        try:
            if self._config is not None:
                self._finish(self._state or state)
        finally:
            self._kill()

    def ended(self, outcome: Outcome) -> Outcome:
        """Take the outcome of a run that has come to its end, and return it."""
        for name in [name for cells in outcome.given_up.values() for name in cells]:
            if (record := self._record(name)).get("state") == "failed":
                self._tell("cell_ended", record)
        self._outcome, self._state = outcome, "finished"
        return outcome

    def note(self, message: str) -> None:
        """Pass on."""
        self._observer.note(message)

    def progress(self, what: str, done: int, total: int) -> None:
        """Pass on."""
        self._observer.progress(what, done, total)

    def planned(self, todo: Sequence[Cell], kept: int, epochs: int) -> None:
        """Tell of the run, if it computes anything."""
        self._observer.planned(todo, kept, epochs)
        self._outcome.kept = kept
        if todo and self._handles:
            self._config = self._store.require_run().config
            run = read_json(self._store.folder / "run.json") or {}
            self._tell("run_started", {"folder": str(self._store.folder), **run})

    def started(self, cell: Cell) -> None:
        """Tell of a cell at work."""
        self._observer.started(cell)
        self._tell("cell_started", self._described(cell))

    def epoch(self, cell: Cell, report: EpochReport) -> None:
        """Tell of an epoch."""
        self._observer.epoch(cell, report)
        self._tell("epoch_ended", self._described(cell), epoch_record(report).to_json())

    def finished(self, cell: Cell, balanced_accuracy: float | None, seconds: float) -> None:
        """Tell of a cell's results."""
        self._observer.finished(cell, balanced_accuracy, seconds)
        self._outcome.computed += 1
        self._tell("cell_ended", self._record(cell.name))

    def failed(self, cell: Cell, reason: str) -> None:
        """Tell of a cell's failure."""
        self._observer.failed(cell, reason)
        self._outcome.failures[cell.name] = reason
        self._tell("cell_ended", self._record(cell.name))

    def _described(self, cell: Cell) -> dict[str, Any]:
        if self._config is None:
            return {}
        return {
            "name": cell.name,
            "model": cell.label,
            "stratum": cell.stratum,
            "fold": cell.fold,
            "seed": cell.seed,
            "given": given_settings(self._config, cell.label).to_json(),
        }

    def _record(self, cell: str) -> dict[str, Any]:
        """Return what has been published of a cell, if anybody is to be told."""
        found = read_json(self._store.folder / "cells" / cell / RECORD) if self._handles else None
        return {"name": cell, **(found or {})}

    def _finish(self, state: State) -> None:
        outcome = self._outcome
        counts = {"computed": outcome.computed, "kept": outcome.kept, "failures": outcome.failures}
        self._tell("run_ended", {"state": state, **counts})
        for handle in self._handles:
            handle.hang_up()
        deadline = time.monotonic() + observer_handle.FINISH_SECONDS
        self._ask(lambda handle: handle.finish(deadline))

    def _tell(self, method: str, *records: dict[str, Any]) -> None:
        self._ask(lambda handle: handle.tell(method, *records))

    def _ask(self, question: Callable[[ObserverHandle], None]) -> None:
        """Turn to every observer that is left, and drop those that are lost."""
        for handle in [*self._handles]:
            try:
                question(handle)
            except ObserverLostError as error:
                self._handles.remove(handle)
                handle.kill()
                self._observer.note(
                    f"observer {handle.name} is dropped, and the run goes on without it: {error}; "
                    f"what it has printed is in {handle.log}"
                )

    def _kill(self) -> None:
        while self._handles:
            self._handles.pop().kill()
