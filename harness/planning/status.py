"""What of a run is done, running, failed, stale or missing."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import psutil

from harness.config.run_config import RunConfig, parse_config
from harness.errors import HarnessError
from harness.planning.models import model_entries
from harness.plugin_api.discovery import PluginHost
from harness.store.cells import Cell
from harness.store.keys import hash_of
from harness.store.run_store import DONE, FAILED, RunStore
from harness.training.version import TRAINING_VERSION


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


def read_status(store: RunStore, host: PluginHost) -> RunStatus:
    """Read a run folder and hold its cells against the plugins as they are now.

    Raises:
        DataError: No run there.
    """
    run = store.require().read_run() or {}
    config = parse_config(run["config"], "run.json")
    damage, active = store.find_damage(thorough=False), store.read_active()
    stored = store.read_cells(without=damage)
    now = _current_parts(config, host)
    cells = [
        Cell(label, magnification, fold, seed)
        for label in config.models
        for seed in config.seeds
        for magnification in config.magnifications
        for fold in run["comparison"]["folds"]
    ]
    rows = [
        CellStatus(cell.name, "damaged", damage[cell.name])
        if cell.name in damage
        else _status(cell, stored.get(cell.name), active.get(cell.name), now)
        for cell in cells
    ]
    return RunStatus(rows, _seconds_left(rows, cells, stored))


def read_provenance(store: RunStore) -> dict[str, list[dict[str, Any]]]:
    """Return where the weights of each model's finished cells come from.

    Returns:
        By label: each chain of ``steps``, first stage first, how many ``cells`` have it (usually there is one chain a
        model), and what the model told of its networks after each stage, the mean over those cells.

    Raises:
        DataError: No run there.
    """
    chains: dict[str, dict[tuple[str, ...], list[dict[str, Any]]]] = {}
    for record in store.require().read_cells().values():
        if record["state"] == DONE:
            chains.setdefault(record["model"], {}).setdefault(tuple(record["provenance"]), []).append(record)
    return {
        label: [
            {"steps": list(steps), "cells": len(records), "inspection": mean_inspection(records)}
            for steps, records in found.items()
        ]
        for label, found in sorted(chains.items())
    }


def mean_inspection(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Average what cells of a model tell of their networks, by stage and name."""
    found: dict[str, dict[str, list[float]]] = {}
    for record in records:
        for stage, figures in record.get("inspection", {}).items():
            for name, value in figures.items():
                found.setdefault(stage, {}).setdefault(name, []).append(value)
    return {stage: {name: fmean(values) for name, values in figures.items()} for stage, figures in found.items()}


def _current_parts(config: RunConfig, host: PluginHost) -> dict[str, dict[str, str]]:
    """The parts of each model's cell key that can be known without images; none for a model that is not there."""
    parts: dict[str, dict[str, str]] = {}
    for label in config.models:
        try:
            (entry,) = model_entries(config.with_models([label]), host)
        except HarnessError:
            continue
        registered = entry.registered
        parts[label] = {
            "plugin": hash_of(f"{registered.source} {registered.distribution} {registered.model.name}"),
            "options": hash_of(hash_of(entry.options)),
            "training version": str(TRAINING_VERSION),
        }
    return parts


def _status(
    cell: Cell, record: dict[str, Any] | None, active: dict[str, Any] | None, now: dict[str, dict[str, str]]
) -> CellStatus:
    if active is not None and _lives(active):
        return CellStatus(cell.name, "running", f"epoch {active['epoch']}, pid {active['pid']} on {active['host']}")
    if record is None:
        return CellStatus(cell.name, "missing", "")
    if record["state"] == FAILED:
        return CellStatus(cell.name, "failed", record["error"]["reason"])
    if cell.label not in now:
        return CellStatus(cell.name, "done", "its plugin is not installed now")
    changed = [name for name, part in now[cell.label].items() if record["key_parts"].get(name) != part]
    return (
        CellStatus(cell.name, "stale", f"changed since: {', '.join(changed)}")
        if changed
        else CellStatus(cell.name, DONE, "")
    )


def _lives(active: dict[str, Any]) -> bool:
    """Whether the host of a cell at work is there; of another machine only its word is known."""
    return active["host"] != socket.gethostname() or psutil.pid_exists(int(active["harness_pid"]))


def _seconds_left(rows: list[CellStatus], cells: list[Cell], stored: dict[str, dict[str, Any]]) -> float | None:
    took: dict[str, list[float]] = {}
    for record in stored.values():
        if record["state"] == DONE:
            took.setdefault(record["model"], []).append(record["timings"]["cell_seconds"])
    waiting = [cell.label for cell, row in zip(cells, rows, strict=True) if row.state != DONE]
    if not waiting or not took:
        return None
    overall = fmean(seconds for several in took.values() for seconds in several)
    return sum(fmean(took[label]) if label in took else overall for label in waiting)
