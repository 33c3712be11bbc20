"""The executor of cells on this machine: worker processes, each kept for the cells of one model."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from harness.execution.cell_at_work import CellAtWork, seconds_to_next_check
from harness.execution.cell_queues import CellQueues
from harness.execution.executor import Ended, Event, ExecutorSetup, Stalled, Started
from harness.processes import uninterrupted
from harness.store.cells import Cell
from harness.workers.handle import WorkerHandle, wait_for_any
from harness.workers.messages import Answer


@dataclass
class _Slot:
    """A place for one worker at a time."""

    worker: WorkerHandle
    device: str
    work: CellAtWork | None = None


class LocalExecutor:
    """Works through cells with several workers at once, each kept for the cells of one model.

    Args:
        setup: Models, tasks, devices and limits.
    """

    def __init__(self, setup: ExecutorSetup) -> None:
        self._setup = setup
        self._queues = CellQueues()
        self._slots: list[_Slot] = []

    def submit(self, cell: Cell) -> None:
        """Queue a cell behind those of its model."""
        self._queues.put(cell)

    def events(self) -> Iterator[Event]:
        """Run the queued cells, and yield what happens until none is left."""
        while True:
            yield from self._fill_slots()
            busy = {slot.worker: (slot, slot.work) for slot in self._slots if slot.work}
            if not busy:
                return
            for worker in wait_for_any(busy, seconds_to_next_check(slot.work for slot in self._slots)):
                yield self._on_message(*busy[worker], worker.receive())
            yield from self._check_watchdogs()

    def close(self) -> None:
        """End every worker."""
        for slot in self._slots:
            slot.worker.kill()

    def _check_watchdogs(self) -> Iterator[Event]:
        now = time.monotonic()
        for slot, work in [(slot, slot.work) for slot in self._slots if slot.work]:
            if work.watchdog.timed_out(now):
                slot.worker.kill()
                yield self._on_message(slot, work, work.failure_in_time())
            elif (silent := work.watchdog.stalled_seconds(now)) is not None:
                yield Stalled(work.cell, silent, slot.worker.pid)

    def _fill_slots(self) -> Iterator[Event]:
        """Give every idle worker a cell, and start workers while slots are free."""
        for slot in [slot for slot in self._slots if slot.work is None]:
            cell = self._queues.take(slot.worker.label) if slot.worker.alive else None
            if cell is not None:
                yield self._assign(slot, cell)
            else:
                slot.worker.kill()
                self._slots.remove(slot)
        while len(self._slots) < self._setup.jobs and (cell := self._next_cell()):
            with uninterrupted():
                model = self._setup.models[cell.label].reference
                worker = WorkerHandle(cell.label, model, self._setup.log_file(cell.label))
                slot = _Slot(worker, self._emptiest_device())
                self._slots.append(slot)
            yield self._assign(slot, cell)
        busy = [slot.work for slot in self._slots if slot.work]
        for work in busy:
            work.ran_concurrently = work.ran_concurrently or len(busy) > 1

    def _emptiest_device(self) -> str:
        taken = Counter(slot.device for slot in self._slots)
        return min(self._setup.devices, key=lambda device: taken[device])

    def _next_cell(self) -> Cell | None:
        label = self._queues.next_label({slot.worker.label for slot in self._slots})
        return None if label is None else self._queues.take(label)

    def _assign(self, slot: _Slot, cell: Cell) -> Started:
        task = self._setup.task(cell, slot.device)
        slot.work = CellAtWork(cell, self._setup.cell_seconds)
        slot.worker.send(task)
        return Started(cell, slot.worker.pid, socket.gethostname())

    def _on_message(self, slot: _Slot, work: CellAtWork, answer: Answer) -> Event:
        event = work.event(answer, self._setup.jobs)
        if isinstance(event, Ended):
            slot.work = None
        return event
