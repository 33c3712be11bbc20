"""The protocol of executors: cells are submitted, events come back.

Another executor is a class of this protocol, a name in :data:`ExecutorName` and a line in
:data:`harness.execution.runner.EXECUTORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.store.cells import Cell

if TYPE_CHECKING:
    from harness.plugin_api.discovery import RegisteredModel
    from harness.plugin_api.model import EpochReport
    from harness.workers.messages import Failure, FitTask, Fitted

ExecutorName = Literal["local", "ray"]


@dataclass(frozen=True)
class Started:
    """A cell is at work; if it was before, what it reported then does not count.

    Attributes:
        cell: Which.
        pid: Of the process that does it.
        host: The machine on which that process is.
        device: What it computes on, as :func:`harness.training.devices.describe_device` tells; None for the host's own.
        versions: Of Python and the libraries there, as :func:`harness.training.devices.versions` tells; likewise.
    """

    cell: Cell
    pid: int
    host: str
    device: Mapping[str, Any] | None = None
    versions: Mapping[str, str] | None = None


@dataclass(frozen=True)
class EpochEnded:
    """A cell has finished an epoch."""

    cell: Cell
    report: EpochReport


@dataclass(frozen=True)
class Noticed:
    """A cell has something to say to whoever watches the run, in one line."""

    cell: Cell
    text: str


@dataclass(frozen=True)
class Stalled:
    """A cell has not reported for so many seconds, unusually long for it."""

    cell: Cell
    seconds: float
    pid: int


@dataclass(frozen=True)
class Ended:
    """A cell has come to an end.

    Attributes:
        cell: Which.
        answer: Its results, or why it failed.
        seconds: Wall time from its start.
        concurrency: Cells at once that the executor works on.
        ran_concurrently: Whether another cell ran beside it at any time: memory may have been short for that reason.
    """

    cell: Cell
    answer: Fitted | Failure
    seconds: float
    concurrency: int
    ran_concurrently: bool


Event = Started | EpochEnded | Noticed | Stalled | Ended


@dataclass(frozen=True)
class ExecutorSetup:
    """What an executor of any kind is given.

    Attributes:
        models: The models of the run by label.
        task: Makes the task of a cell for a device; it is asked when the cell starts, once.
        log_file: Returns the file for what a model's plugin prints, by label.
        devices: As torch names them.
        jobs: Cells at once, over all devices.
        cell_seconds: How long a cell may take before it is ended as failed, or None.
        libraries_may_differ: Whether other machines may have other versions of Python and the libraries than the host.
        threads: CPU threads of a cell.
        starts: sha256 of the files that a model starts from, by path, by label.
        peak_bytes: Device memory that a cell of the largest model was measured to take.
        address: Of the cluster, for an executor that has one.
    """

    models: Mapping[str, RegisteredModel]
    task: Callable[[Cell, str], FitTask]
    log_file: Callable[[str], Path]
    devices: Sequence[str]
    jobs: int
    cell_seconds: float | None
    libraries_may_differ: bool
    threads: int
    starts: Mapping[str, Mapping[str, str]]
    peak_bytes: int
    address: str


@dataclass(frozen=True)
class ExecutorChoice:
    """What is to run the cells.

    Attributes:
        name: Of the executor.
        address: Of the cluster, for an executor that has one.
        jobs: Cells at once; None for as many as pay.
    """

    name: ExecutorName = "local"
    address: str = "auto"
    jobs: int | None = 1


class Executor(Protocol):
    """What runs cells: each in a process that sees its task and nothing of the run folder.

    An executor decides where and when a cell runs. It stores nothing, computes no metric and draws no conclusion from
    a failure: that is done with its events, in one place for all executors.
    """

    def submit(self, cell: Cell) -> None:
        """Queue a cell; it is computed while :meth:`events` is read."""

    def events(self) -> Iterator[Event]:
        """Yield what happens until every submitted cell has ended, one :class:`Ended` each, in any order of cells."""

    def close(self) -> None:
        """End every process that is left, at once; what has not ended is lost."""
