"""The RunObserver interface."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from harness.settings import Settings


class RunObserver:
    """A watcher of runs; each method does nothing where a subclass does not say otherwise.

    An observer is made and called in a process of its own, one a run. What it is given are published records as JSON
    has them, in the order of events. The run does not wait for it: one that raises, ends its process or hangs is noted
    and dropped. What it prints goes to ``RUN/logs/observer-<name>.log``.

    A ``cell`` that is begun or at work holds ``name`` (its folder), ``model``, ``stratum``, ``fold``, ``seed`` and
    ``given`` (what the config says of the model).

    Class attributes:
        name: Unique among all observers; what ``--observer`` calls it.
        needs: Top-level modules that it imports when it is made, and what pip installs each from; that they are there
            is looked at before any training.
        Options: The observer's options; ``self.options`` holds them.
    """

    name: ClassVar[str]
    needs: ClassVar[Mapping[str, str]] = MappingProxyType({})
    Options: ClassVar[type[Settings]] = Settings

    def __init__(self, options: Any = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    def run_started(self, run: dict[str, Any]) -> None:
        """Called first, before any cell, with ``run.json`` and the run's ``folder``."""

    def cell_started(self, cell: dict[str, Any]) -> None:
        """Called when a cell is at work; again if it ran out of memory and is tried once more."""

    def epoch_ended(self, cell: dict[str, Any], epoch: dict[str, Any]) -> None:
        """Called after an epoch with what the note of a cell at work holds of it; None is no finite number."""

    def cell_ended(self, cell: dict[str, Any]) -> None:
        """Called with ``cell.json`` and the cell's ``name``; its ``state`` is ``done`` or ``failed``.

        A cell whose model cannot be trained at all has failed without being started.
        """

    def run_ended(self, outcome: dict[str, Any]) -> None:
        """Called last, with ``state``, ``computed`` and ``kept`` cells, and ``failures``: the reasons by cell.

        The state is ``finished``, ``interrupted`` or ``stopped`` (by an error). The process has a few seconds to end.
        """
