"""Queues of cells, one a model."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from harness.store.cells import Cell


class CellQueues:
    """The cells that wait for a worker, by model and in the order in which they came."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Cell]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def put(self, cell: Cell) -> None:
        """Queue a cell behind those of its model."""
        self._queues.setdefault(cell.label, deque()).append(cell)

    def put_back(self, cell: Cell) -> None:
        """Queue a cell before those of its model."""
        self._queues.setdefault(cell.label, deque()).appendleft(cell)

    def take(self, label: str) -> Cell | None:
        """Return the next cell of a model, and None if none is left."""
        queue = self._queues.get(label)
        return queue.popleft() if queue else None

    def next_label(self, at_work: Collection[str]) -> str | None:
        """Return the model to begin with, and None if nothing waits.

        Args:
            at_work: Models that have a worker: one without is preferred, otherwise that of which most is left.
        """
        waiting = [label for label, queue in self._queues.items() if queue]
        alone = [label for label in waiting if label not in at_work]
        return alone[0] if alone else max(waiting, key=lambda label: len(self._queues[label]), default=None)
