"""What the host keeps of the worker slots on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.execution.cell_at_work import CellAtWork
from harness.execution.executor import Event
from harness.execution.ray_messages import CellOrder, HostFile, Introduction
from harness.store.cells import Cell


@dataclass
class Assignment:
    """A cell and what a slot is told of it, made once; how often it has been lost."""

    cell: Cell
    order: CellOrder
    losses: int = 0


@dataclass(eq=False)
class Slot:
    """A worker slot on some node.

    Attributes:
        actor: Ray's handle.
        label: The model that it had last.
        pending: What Ray will answer next, or the stream of a cell's messages; None while there is nothing to do.
        on_answer: Takes the answer.
        about: What the slot says of itself, once it has started.
        remark: On the versions of its node, if they are others than the host's.
        assignment: The cell that was given to it.
        work: The same from the moment that it is at work.
        has: The files that are known to be on its node.
    """

    actor: Any
    label: str = ""
    pending: Any = None
    on_answer: Callable[[Slot, Any], Iterator[Event]] | None = None
    about: Introduction | None = None
    remark: str | None = None
    assignment: Assignment | None = None
    work: CellAtWork | None = None
    has: set[HostFile] = field(default_factory=set)

    def shares_node_with(self, other: Slot) -> bool:
        """Whether both are known to be on one node."""
        return self.about is not None and other.about is not None and self.about.node == other.about.node
