"""The observer protocol: events of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.plugin_api.model import EpochReport
from harness.store.cells import Cell


class Observer(Protocol):
    """Watches a run; every method returns at once."""

    def note(self, message: str) -> None:
        """Something a person should know."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Preparation goes on: so many of so many."""

    def planned(self, todo: Sequence[Cell], kept: int, epochs: int) -> None:
        """The run is about to compute these cells of so many epochs, and keeps finished ones."""

    def started(self, cell: Cell) -> None:
        """A cell is at work."""

    def epoch(self, cell: Cell, report: EpochReport) -> None:
        """A cell has finished an epoch."""

    def finished(self, cell: Cell, balanced_accuracy: float | None, seconds: float) -> None:
        """A cell is done."""

    def failed(self, cell: Cell, reason: str) -> None:
        """A cell has failed."""
