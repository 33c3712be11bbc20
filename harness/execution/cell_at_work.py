"""A cell at work, whichever executor runs it: its time, and what its worker says as events."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.execution.executor import Ended, EpochEnded, Event, Noticed
from harness.execution.watchdog import Watchdog
from harness.plugin_api.model import EpochReport
from harness.store.cells import Cell
from harness.workers.messages import Answer, Failure, Fitted, Notice


@dataclass
class CellAtWork:
    """A cell at work.

    Attributes:
        cell: Which.
        limit: Seconds that it may take, or None.
        ran_concurrently: Whether another cell ran beside it at any time.
    """

    cell: Cell
    limit: float | None
    ran_concurrently: bool = False
    watchdog: Watchdog = field(init=False)
    _started: float = field(default_factory=time.perf_counter)
    _epochs: int = 0

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(time.monotonic(), self.limit)

    def event(self, answer: Answer, concurrency: int) -> Event:
        """Return what an answer of the cell's worker means.

        Args:
            answer: What the worker said.
            concurrency: Cells at once that the executor works on.
        """
        if isinstance(answer, Notice):
            return Noticed(self.cell, answer.text)
        if isinstance(answer, EpochReport):
            self._epochs += 1
            self.watchdog.progress_seen(time.monotonic())
            return EpochEnded(self.cell, answer)
        if not isinstance(answer, Fitted | Failure):
            answer = Failure(f"unexpected answer: {type(answer).__name__}")
        seconds = time.perf_counter() - self._started
        return Ended(self.cell, answer, seconds, concurrency, self.ran_concurrently)

    def failure_in_time(self) -> Failure:
        """Say that the cell has taken longer than it may."""
        limit = f"{self.limit:g} s, the config's cell_seconds"
        return Failure(f"ended after {limit}; it had reported {self._epochs} epochs")


def seconds_to_next_check(cells: Iterable[CellAtWork | None]) -> float | None:
    """Return how long an executor may wait for messages before a watchdog has to look; None for ever.

    Args:
        cells: At work; None for a place without one.
    """
    now = time.monotonic()
    due = [cell.watchdog.seconds_to_next_check(now) for cell in cells if cell is not None]
    return min((seconds for seconds in due if seconds is not None), default=None)
