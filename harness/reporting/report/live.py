"""The page of a run that goes on: what is done, what is at work, curves so far, time left."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.plugin_api.schedule import FINAL_STAGE
from harness.reporting.report.templating import asset, environment
from harness.store.active import ActiveRecord, EpochRecord, last_epochs_speed
from harness.store.schema import DoneRecord, RunRecord
from harness.text import duration

_WIDTH, _HEIGHT = 240.0, 60.0


@dataclass(frozen=True)
class LiveCell:
    """A cell at work.

    Attributes:
        name: Its name.
        note: What it has written of itself.
        epochs: How many its last stage has in all.
    """

    name: str
    note: ActiveRecord
    epochs: int

    @property
    def latest(self) -> EpochRecord | None:
        """Its last epoch."""
        return self.note.history[-1] if self.note.history else None

    @property
    def words(self) -> str:
        """How far it is."""
        latest = self.latest
        if latest is None:
            return "starting"
        of = f" of {self.epochs}" if latest.stage == FINAL_STAGE else ""
        speed = last_epochs_speed(self.note.history)
        return f"{latest.stage}, epoch {latest.epoch}{of}" + (f", {speed:,.0f} images/s" if speed else "")

    @property
    def validation(self) -> str:
        """Validation balanced accuracy after the last epoch, in %."""
        value = self.latest.validation_balanced_accuracy if self.latest else None
        return "-" if value is None else f"{100 * value:.1f}"

    @property
    def curve(self) -> str:
        """Validation balanced accuracy over the epochs of the stage at work, as points of a line from 0 to 100 %."""
        latest = self.latest
        own = [epoch for epoch in self.note.history if latest and epoch.stage == latest.stage]
        values = [epoch.validation_balanced_accuracy for epoch in own]
        last = max(self.epochs if latest and latest.stage == FINAL_STAGE else len(values), 2)
        return " ".join(
            f"{_WIDTH * place / (last - 1):.1f},{_HEIGHT * (1 - value):.1f}"
            for place, value in enumerate(values)
            if value is not None
        )


@dataclass(frozen=True)
class LiveRun:
    """A run that goes on, or has ended.

    Attributes:
        run: Its record.
        counts: Cells by state.
        seconds_left: What the missing cells will take, one at a time; None where nothing is known.
        active: The cells at work.
        done: Finished cells, by name.
        failed: Why cells have failed, by name.
        report: Whether a report of it was written.
    """

    run: RunRecord
    counts: Mapping[str, int]
    seconds_left: float | None
    active: Sequence[LiveCell]
    done: Mapping[str, DoneRecord]
    failed: Mapping[str, str]
    report: bool

    @property
    def total(self) -> int:
        """Cells in all."""
        return sum(self.counts.values())

    @property
    def finished(self) -> int:
        """Cells that need not be computed."""
        return self.counts.get("done", 0)

    @property
    def state(self) -> str:
        """Whether it goes on, in words."""
        if self.finished == self.total:
            return "a finished run"
        return "a run that goes on" if self.active else "a run that has stopped: the same command goes on from here"

    @property
    def time_left(self) -> str:
        """The time left in words, or why there is none to tell."""
        if self.finished == self.total:
            return "all cells are done"
        if not self.active:
            return "no cell is at work"
        if self.seconds_left is None:
            return "no cell is finished yet, so the time left is not known"
        return f"about {duration(self.seconds_left / max(1, len(self.active)))} left"

    @property
    def models(self) -> list[tuple[str, int, str]]:
        """Every model with finished cells: how many, and their mean balanced accuracy in %."""
        found = []
        for label in self.run.config.models:
            values = [record.metrics["balanced_accuracy"] for record in self.done.values() if record.model == label]
            known = [value for value in values if value is not None]
            if values:
                found.append((label, len(values), f"{100 * sum(known) / len(known):.1f}" if known else "-"))
        return found


def render_live(live: LiveRun) -> str:
    """Return the page as HTML."""
    return (
        environment()
        .get_template("live.html")
        .render(
            live=live,
            width=_WIDTH,
            height=_HEIGHT,
            style=asset("report.css"),
            script=asset("live.js"),
        )
    )


def script_hash() -> str:
    """Return the hash by which a browser knows the page's script."""
    return base64.b64encode(hashlib.sha256(asset("live.js").encode()).digest()).decode()
