"""Kinds of machines on which cells were computed."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import TYPE_CHECKING

from harness.store.schema import DoneRecord

if TYPE_CHECKING:
    from harness.reporting.results import Results

MIXED = "(mixed machines)"
"""Marks a row whose cells were computed on several kinds of machines."""


def by_machine(cells: Iterable[DoneRecord]) -> dict[str, list[DoneRecord]]:
    """Return cells by the kind of machine, its GPU or processor, that computed them; sorted by its name."""
    found: dict[str, list[DoneRecord]] = {}
    for cell in cells:
        found.setdefault(str(cell.device.get("name") or cell.device.get("type", "unknown")), []).append(cell)
    return dict(sorted(found.items()))


def machine_notes(results: Results) -> list[str]:
    """Say of rows of several kinds of machines what their times mean, and how fast each machine is alone."""
    mixed = {label: found for label in results.labels if len(found := by_machine(results.cells_of(label))) > 1}
    if not mixed:
        return []
    trained = {label: found for label, found in mixed.items() if any(cell.epochs for cell in results.cells_of(label))}
    speeds = "; ".join(f"{label}: {', '.join(map(_speed, found.items()))}" for label, found in trained.items())
    return [
        f"NOT COMPARABLE in minutes: rows {MIXED} average over several kinds of machines; below each are its rows by "
        "machine." + f" Training images a second, alone: {speeds}." * bool(speeds)
    ]


def _speed(found: tuple[str, list[DoneRecord]]) -> str:
    machine, cells = found
    known = [speed for cell in cells if cell.timings and (speed := cell.timings.images_per_second_alone)]
    return f"{median(known):,.1f} on {machine}" if known else f"not measured on {machine}"
