"""The note of a cell at work."""

from __future__ import annotations

from typing import Annotated

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
