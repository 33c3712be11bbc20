"""Status of a run's cells: done, running, failed, stale, damaged or missing."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import psutil

from harness.planning.cell_keys import plan_cells
from harness.planning.staleness import PluginFiles, changes_since
from harness.plugin_api.schedule import FINAL_STAGE
from harness.store.active import ActiveRecord
from harness.store.cells import Cell
from harness.store.run_folder import RunFolder
from harness.store.schema import CellRecord, DoneRecord, FailedRecord


@dataclass(frozen=True)
class CellStatus:
    """One cell: ``state`` is done, running, failed, stale, damaged or missing; ``detail`` says why or how far."""

    cell: str
    state: str
    detail: str


@dataclass(frozen=True)
class RunStatus:
    """All cells of a run, and the seconds that the missing ones will take, judged by the finished ones."""

    rows: list[CellStatus]
    seconds_left: float | None

    @property
    def counts(self) -> dict[str, int]:
        """Cells by state."""
        return dict(sorted(Counter(row.state for row in self.rows).items()))

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        cells = [asdict(row) for row in self.rows]
        return {"schema_version": 1, "counts": self.counts, "seconds_left": self.seconds_left, "cells": cells}


def read_status(store: RunFolder, *, thorough: bool = True) -> RunStatus:
    """Read a run folder and hold its cells against its config and the plugins' files as they are now.

    No plugin is imported: what its import would bring in is known from its files.

    Args:
        store: The run folder.
        thorough: Hold tables against their checksums and plugins against their files; without it a finished cell is
            done.

    Raises:
        DataError: No run there.
    """
    run = store.require_run()
    config = run.config
    stored, damage = store.examine(thorough=False) if thorough else (store.read_cells(), {})
    active = store.read_active()
    plugins = PluginFiles()
    cells = plan_cells(config.models, config, run.comparison.folds)
    rows = [
        CellStatus(cell.name, "damaged", damage[cell.name])
        if cell.name in damage
        else _status(
            cell,
            stored.get(cell.name),
            active.get(cell.name),
            plugins,
            lambda record: changes_since(config, record, plugins) if thorough else [],
        )
        for cell in cells
    ]
    return RunStatus(rows, _seconds_left(rows, cells, _seconds_of_cells(cells, stored, active, config.schedule.epochs)))


def _status(
    cell: Cell,
    record: CellRecord | None,
    active: ActiveRecord | None,
    plugins: PluginFiles,
    changes: Callable[[DoneRecord], list[str]],
) -> CellStatus:
    if active is not None and _lives(active):
        return CellStatus(cell.name, "running", f"epoch {active.epoch}, pid {active.pid} on {active.host}")
    if isinstance(record, FailedRecord):
        return CellStatus(cell.name, "failed", record.error.reason)
    if not isinstance(record, DoneRecord):
        return CellStatus(cell.name, "missing", "")
    if words := _cannot_be_stale(record, plugins):
        return CellStatus(cell.name, "done", words)
    changed = changes(record)
    if changed:
        return CellStatus(cell.name, "stale", f"changed since: {', '.join(changed)}")
    return CellStatus(cell.name, "done", "")


def _cannot_be_stale(record: DoneRecord, plugins: PluginFiles) -> str:
    """Say why a finished cell is held against nothing; empty where it has a plugin to be held against."""
    if record.scored is not None:
        return f"predictions from {record.scored.file}"
    return "" if plugins.is_installed(record.plugin.distribution) else "its plugin is not installed now"


def _lives(active: ActiveRecord) -> bool:
    """Whether the host of a cell at work is there; of another machine only its word is known."""
    return active.host != socket.gethostname() or psutil.pid_exists(active.harness_pid)


def _seconds_of_cells(
    cells: list[Cell], stored: Mapping[str, CellRecord], active: Mapping[str, ActiveRecord], epochs: int
) -> dict[str, list[float]]:
    """Return what cells of each model take: finished ones, or else as the epochs of one at work let expect."""
    took: dict[str, list[float]] = {}
    for record in stored.values():
        if isinstance(record, DoneRecord) and record.timings is not None:
            took.setdefault(record.model, []).append(record.timings.cell_seconds)
    for cell in cells:
        note = active.get(cell.name)
        last = note.history[-1] if note and note.history else None
        if last is not None and last.stage == FINAL_STAGE and last.train_seconds:
            took.setdefault(cell.label, [last.train_seconds / last.epoch * epochs])
    return took


def _seconds_left(rows: list[CellStatus], cells: list[Cell], took: Mapping[str, list[float]]) -> float | None:
    """Return what the waiting cells will take, one at a time; a model that has not begun takes what others do."""
    waiting = [cell.label for cell, row in zip(cells, rows, strict=True) if row.state != "done"]
    if not waiting or not took:
        return None
    overall = fmean(seconds for several in took.values() for seconds in several)
    return sum(fmean(took[label]) if label in took else overall for label in waiting)
