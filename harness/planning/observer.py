"""Observers of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.store.cells import Cell

if TYPE_CHECKING:
    from harness.plugin_api.model import EpochReport  # torch, which only runs need


class Observer:
    """Watches a run; every method returns at once, and does nothing where a subclass does not say otherwise."""

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
