"""Progress of a run on standard error: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from statistics import fmean
from typing import TYPE_CHECKING, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from harness.planning.observer import Observer
from harness.plugin_api.schedule import FINAL_STAGE
from harness.store.active import last_epochs_speed
from harness.store.cells import Cell
from harness.text import duration, printable

if TYPE_CHECKING:
    from harness.plugin_api.model import EpochReport  # torch, which only runs need

_PLAIN_SECONDS = 30.0
_FRAME_WIDTH = 120  # on a wider terminal, a name and its numbers would stand too far apart to be read as one line
_LEAST_WORK = 0.1  # of a cell: what is before is for the most part getting ready, and says little of the time left
_GAP = 2
_LEAST_BAR = 6
_LEAST_NAME, _LONGEST_NAME, _LONGEST_STAGE = 8, 40, 10


class Display(Observer):
    """Shows a run on a terminal, or line by line elsewhere.

    Args:
        console: Where to; standard error if none is given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._on_terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        self._cells, self._epochs = _CellCount(0, time.monotonic()), 1
        self._models: dict[str, _ModelCount] = {}
        self._rows: dict[object, _Row] = {}
        self._latest: dict[Cell, EpochReport] = {}
        self._live = Live(self.__rich__(), console=self._console, transient=True)
        self._last_plain = time.monotonic()

    def __enter__(self) -> Self:
        if self._on_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __rich__(self) -> _Frame:
        return _Frame(self._cells, tuple(self._rows.values()))

    def note(self, message: str) -> None:
        """Print a warning."""
        self._line(f"note: {message}")

    def progress(self, what: str, done: int, total: int) -> None:
        """Show preparation going on."""
        if done < total:
            self._show(what, _Row(what, total, done))
        else:
            self._rows.pop(what, None)
            self._refresh()
            self._line(f"{what}: {total}")

    def planned(self, todo: Sequence[Cell], kept: int, epochs: int) -> None:
        """Say what is about to be done; a study plans one run after the other."""
        self._cells, self._epochs = _CellCount(len(todo), time.monotonic()), epochs
        self._models = {}
        self._rows.clear()  # a step of preparation need not have told its end
        for cell in todo:
            self._models.setdefault(cell.label, _ModelCount()).cells += 1
        self._refresh()
        self._line(f"{len(todo)} cells to compute, {kept} kept")

    def started(self, cell: Cell) -> None:
        """Show a cell at work."""
        self._cells = self._cells.with_start()
        self._latest.pop(cell, None)  # of a cell that is begun again
        self._show(cell, _Row(cell.label, self._epochs, where=_where(cell), accuracy="at work"))

    def epoch(self, cell: Cell, report: EpochReport) -> None:
        """Show an epoch: accuracy, and images per second if they can be told."""
        speed = _speed(last_epochs_speed([*filter(None, [self._latest.get(cell)]), report]))
        self._latest[cell] = report
        self._rows[cell] = _epoch_row(cell, report, self._epochs, speed)
        self._count(self._cells.done)
        if not self._on_terminal and time.monotonic() - self._last_plain > _PLAIN_SECONDS:
            self._last_plain = time.monotonic()
            self._line(f"{_name(cell)}: {_epoch_text(report, self._epochs, speed)}; {self._cells.summary}")

    def finished(self, cell: Cell, balanced_accuracy: float | None, seconds: float) -> None:
        """Count a cell that is done; say so where it is the last of its model."""
        model = self._models.setdefault(cell.label, _ModelCount())
        model.seconds.append(seconds)
        if balanced_accuracy is not None:
            model.accuracies.append(balanced_accuracy)
        self._ended(cell)

    def failed(self, cell: Cell, reason: str) -> None:
        """Say why a cell has failed."""
        self._line(f"{_name(cell)}: FAILED: {reason}")
        self._models.setdefault(cell.label, _ModelCount()).failed += 1
        self._ended(cell)

    def _ended(self, cell: Cell) -> None:
        self._rows.pop(cell, None)
        self._latest.pop(cell, None)
        self._count(self._cells.done + 1)
        model = self._models[cell.label]
        if model.is_complete:
            so_far = "" if self._on_terminal else f"; {self._cells.summary}"  # a frame has a line for it
            self._line(f"{cell.label}: {model.summary}{so_far}")

    def _count(self, done: int) -> None:
        at_work = sum(min(1.0, row.done / row.total) for key, row in self._rows.items() if isinstance(key, Cell))
        self._cells = self._cells.with_work(done, at_work)
        self._refresh()

    def _show(self, key: object, row: _Row) -> None:
        self._rows[key] = row
        self._refresh()

    def _refresh(self) -> None:
        self._live.update(self.__rich__())

    def _line(self, text: str) -> None:
        # Text and not str: what comes from plugins must be read neither as markup nor as orders to the terminal
        self._console.print(Text(printable(text)), soft_wrap=True)


@dataclass(frozen=True)
class _CellCount:
    """Cells of a run: how many, and how many have ended; moments are seconds of the monotonic clock."""

    total: int
    began: float
    done: int = 0
    first_started: float | None = None
    seconds_left: float | None = None

    def with_start(self) -> _CellCount:
        return self if self.first_started is not None else replace(self, first_started=time.monotonic())

    def with_work(self, done: int, at_work: float) -> _CellCount:
        """Count with so many cells done, and of those at work as much as so many cells."""
        work, seconds_left = done + at_work, None
        if self.first_started is not None and work >= _LEAST_WORK:
            seconds_left = (time.monotonic() - self.first_started) / work * (self.total - work)
        return replace(self, done=done, seconds_left=seconds_left)

    @property
    def count(self) -> str:
        return f"{self.done}/{self.total} cells"

    @property
    def elapsed(self) -> str:
        return str(timedelta(seconds=int(time.monotonic() - self.began)))

    @property
    def time_left(self) -> str:
        """Time left in words; empty as long as nothing is known of it, and at the end."""
        if self.seconds_left is None or self.done >= self.total:
            return ""
        return f"about {duration(self.seconds_left)} left"

    @property
    def summary(self) -> str:
        return ", ".join(filter(None, (self.count, self.time_left)))


@dataclass
class _ModelCount:
    """Cells of one model in a run, and what those that have ended came to."""

    cells: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return len(self.seconds) + self.failed == self.cells

    @property
    def summary(self) -> str:
        done = len(self.seconds)
        cells = f"{done} cell{'s' * (done != 1)} done in {sum(self.seconds):,.1f} s in all" if done else "no cell done"
        failed = f", {self.failed} failed" if self.failed else ""
        mean = f", mean balanced accuracy {100 * fmean(self.accuracies):.1f} %" if self.accuracies else ""
        return f"{cells}{failed}{mean}"


@dataclass(frozen=True)
class _Row:
    """Line of a frame: a cell at work, or a step of preparation."""

    name: str
    total: int
    done: int = 0
    where: str = ""
    stage: str = ""
    accuracy: str = ""
    speed: str = ""

    def texts(self) -> dict[str, Text]:
        return {
            "name": Text(printable(self.name)),
            "where": Text(printable(self.where)),
            "count": Text(self.stage or f"{self.done}/{self.total}", "progress.download"),
            "accuracy": Text(self.accuracy),
            "speed": Text(self.speed, "dim"),
        }


@dataclass(frozen=True)
class _Frame:
    """What a terminal shows: a line for all cells, and one for each row."""

    cells: _CellCount
    rows: tuple[_Row, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _FRAME_WIDTH)
        if self.cells.total:
            yield _overall_line(self.cells, width)
        if self.rows:
            yield _rows_table(self.rows, width)


def _overall_line(cells: _CellCount, width: int) -> Table:
    texts = {
        "count": Text(cells.count, "progress.download"),
        "elapsed": Text(cells.elapsed, "progress.elapsed"),
        "left": Text(cells.time_left, "progress.remaining"),
    }
    widths = _fit({"bar": _LEAST_BAR, **_widths([texts])}, ("bar", "elapsed"), width)
    return _table([(cells.done, cells.total, texts)], _fill(widths, "bar", width))


def _rows_table(rows: Sequence[_Row], width: int) -> Table:
    lines = [(row.done, row.total, row.texts()) for row in rows]
    needed = _widths([texts for _, _, texts in lines])
    longest = min(needed["name"], _LONGEST_NAME)
    least = {**needed, "name": min(longest, _LEAST_NAME), "bar": _LEAST_BAR}
    order = ("name", "where", "bar", "count", "accuracy", "speed")
    widths = _fit({name: least[name] for name in order if name in least}, ("speed", "bar", "accuracy", "where"), width)
    widths["name"] = max(1, min(longest, widths["name"] + width - _sum(widths)))
    return _table(lines, _fill(widths, "bar" if "bar" in widths else "name", width))


def _widths(lines: Sequence[Mapping[str, Text]]) -> dict[str, int]:
    """Widths of the columns that are not empty."""
    widths = {name: max(line[name].cell_len for line in lines) for name in lines[0]}
    return {name: width for name, width in widths.items() if width}


def _fit(widths: Mapping[str, int], dispensable: Sequence[str], width: int) -> dict[str, int]:
    """Columns that find room; the dispensable ones go one by one, first things first."""
    kept = dict(widths)
    for name in dispensable:
        if _sum(kept) > width:
            kept.pop(name, None)
    return kept


def _fill(widths: Mapping[str, int], name: str, width: int) -> dict[str, int]:
    """Widths in which one column, if it is there, takes the room that is left."""
    spare = max(0, width - _sum(widths))
    return {column: taken + spare * (column == name) for column, taken in widths.items()}


def _sum(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _table(lines: Sequence[tuple[int, int, Mapping[str, Text]]], widths: Mapping[str, int]) -> Table:
    """Table of (done, total, texts) in columns of these widths."""
    columns = [
        Column(width=width, no_wrap=True, overflow="ellipsis", justify="left" if name in {"name", "where"} else "right")
        for name, width in widths.items()
    ]
    table = Table.grid(*columns, padding=(0, _GAP, 0, 0))
    for done, total, texts in lines:
        bar = ProgressBar(max(1, total), done, widths.get("bar"))
        table.add_row(*(bar if name == "bar" else texts[name] for name in widths))
    return table


def _epoch_row(cell: Cell, report: EpochReport, epochs: int, speed: str) -> _Row:
    row = _Row(cell.label, epochs, where=_where(cell), accuracy=f"val {_accuracy(report)}", speed=speed)
    if report.stage == FINAL_STAGE:
        return replace(row, done=report.epoch)
    stage = Text(printable(report.stage))
    stage.truncate(_LONGEST_STAGE, overflow="ellipsis")
    return replace(row, stage=f"{stage} {report.epoch}")


def _epoch_text(report: EpochReport, epochs: int, speed: str) -> str:
    final = report.stage == FINAL_STAGE
    epoch = f"epoch {report.epoch}/{epochs}" if final else f"{report.stage}, epoch {report.epoch}"
    return ", ".join(filter(None, (epoch, f"validation {_accuracy(report)}", speed)))


def _accuracy(report: EpochReport) -> str:
    return f"{100 * report.validation_balanced_accuracy:.1f} %"


def _speed(images_per_second: float | None) -> str:
    return "" if images_per_second is None else f"{images_per_second:,.0f} images/s"


def _name(cell: Cell) -> str:
    return f"{cell.label} {_where(cell)}"


def _where(cell: Cell) -> str:
    return f"{cell.stratum} fold {cell.fold} seed {cell.seed}"
