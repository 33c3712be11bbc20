"""Progress of a run on standard error: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from harness.planning.observer import Observer
from harness.plugin_api.schedule import FINAL_STAGE
from harness.store.cells import Cell
from harness.text import duration, printable

if TYPE_CHECKING:
    from harness.plugin_api.model import EpochReport  # torch, which only runs need

_PLAIN_SECONDS = 30.0


class Display(Observer):
    """Shows a run on a terminal, or line by line elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[progress]}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        self._tasks: dict[object, TaskID] = {}
        self._epochs, self._total, self._done = 0, 0, 0
        self._began = self._last_plain = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def note(self, message: str) -> None:
        """Print a warning."""
        self._line(f"note: {message}")

    def progress(self, what: str, done: int, total: int) -> None:
        """Show preparation going on."""
        self._bar(what, what, total, done, "")
        if done >= total:
            self._close(what)
            self._line(f"{what}: {total}")

    def planned(self, todo: Sequence[Cell], kept: int, epochs: int) -> None:
        """Say what is about to be done."""
        self._total, self._epochs, self._began = len(todo), epochs, time.monotonic()
        self._done = 0  # a study plans one run after the other
        self._line(f"{len(todo)} cells to compute, {kept} kept")
        if todo:
            self._bar("all", "all cells", len(todo), 0, "")

    def started(self, cell: Cell) -> None:
        """Show a cell at work."""
        if self._live:
            self._bar(cell, _name(cell), self._epochs, 0, "starting")

    def epoch(self, cell: Cell, report: EpochReport) -> None:
        """Show an epoch: accuracy and images per second."""
        speed = report.images_seen / max(report.train_seconds, 1e-9)
        progress = (
            f"{report.stage}, validation {100 * report.validation_balanced_accuracy:.1f} %, {speed:,.0f} images/s"
            f"{self._time_left()}"
        )
        if report.stage == FINAL_STAGE:
            self._bar(cell, _name(cell), self._epochs, report.epoch, progress)
        elif self._live:
            self._bar(cell, _name(cell), self._epochs, 0, f"{progress}, epoch {report.epoch}")
        if not self._live and time.monotonic() - self._last_plain > _PLAIN_SECONDS:
            self._last_plain = time.monotonic()
            self._line(f"{_name(cell)}: epoch {report.epoch}, {progress}")

    def finished(self, cell: Cell, balanced_accuracy: float | None, seconds: float) -> None:
        """Say that a cell is done."""
        number = "" if balanced_accuracy is None else f", balanced accuracy {100 * balanced_accuracy:.1f} %"
        self._ended(cell, f"{_name(cell)}: done in {seconds:,.1f} s{number}")

    def failed(self, cell: Cell, reason: str) -> None:
        """Say why a cell has failed."""
        self._ended(cell, f"{_name(cell)}: FAILED: {reason}")

    def _ended(self, cell: Cell, message: str) -> None:
        self._done += 1
        self._close(cell)
        self._bar("all", "all cells", self._total, self._done, self._time_left())
        self._line(f"[{self._done}/{self._total}] {message}")

    def _time_left(self) -> str:
        if not self._done:
            return ""
        seconds = (time.monotonic() - self._began) / self._done * (self._total - self._done)
        return f", about {duration(seconds)} left"

    def _bar(self, key: object, name: str, total: int, done: int, progress: str) -> None:
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(printable(name), total=total, progress=progress)
        shown = printable(progress.removeprefix(", "))
        self._bars.update(self._tasks[key], total=total, completed=done, progress=shown)

    def _close(self, key: object) -> None:
        if key in self._tasks:
            self._bars.remove_task(self._tasks.pop(key))

    def _line(self, text: str) -> None:
        # Text and not str: what comes from plugins must be read neither as markup nor as orders to the terminal
        self._console.print(Text(printable(text)), soft_wrap=True)


def _name(cell: Cell) -> str:
    return f"{cell.label} {cell.stratum} fold {cell.fold} seed {cell.seed}"
