"""The note of a cell at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import Field

from harness.store.record import Count, Record


class EpochRecord(Record):
    """An epoch of a cell at work: what of an :class:`~harness.EpochReport` a curve needs; None is no finite number."""

    stage: str
    epoch: int
    train_loss: float | None
    validation_loss: float | None
    validation_balanced_accuracy: float | None
    images_seen: int
    train_seconds: float | None


class ActiveRecord(Record):
    """The note of a cell at work.

    Attributes:
        pid: Of the process that does it.
        host: The machine on which that process is.
        epoch: The last one that was reported.
        harness_pid: Of the process that runs the run.
        history: The epochs so far, all stages; the latest of very many.
    """

    pid: Annotated[int, Field(ge=1, lt=1 << 31)]
    host: str
    epoch: Count
    harness_pid: Annotated[int, Field(ge=1, lt=1 << 31)]
    history: list[EpochRecord] = Field(default_factory=list)


class Epoch(Protocol):
    """An epoch as it is reported or recorded; counts and seconds are since the start of its stage."""

    @property
    def stage(self) -> str:
        """Of the training."""

    @property
    def images_seen(self) -> int:
        """Images trained on."""

    @property
    def train_seconds(self) -> float | None:
        """Seconds of training, with what features of frozen layers cost."""


def last_epochs_speed(history: Sequence[Epoch]) -> float | None:
    """Return the images a second of the last epoch; None for the first of a stage.

    Before the first epoch come features of frozen layers, whose cost is in its seconds whoever has made them: that is
    no speed of training.
    """
    before, last = (history[-2], history[-1]) if len(history) > 1 else (None, None)
    if before is None or last is None or before.stage != last.stage:
        return None
    images, seconds = last.images_seen - before.images_seen, (last.train_seconds or 0.0) - (before.train_seconds or 0.0)
    return images / seconds if images > 0 and seconds > 0 else None
