"""The executor of cells on this machine: worker processes, each kept for the cells of one model."""

from __future__ import annotations

import socket
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.execution.executor import Ended, EpochEnded, Event, ExecutorSetup, Noticed, Stalled, Started
from harness.execution.watchdog import Watchdog
from harness.plugin_api.model import EpochReport
from harness.processes import uninterrupted
from harness.store.cells import Cell
from harness.workers.handle import WorkerHandle, wait_for_any
from harness.workers.messages import Answer, Failure, Fitted, Notice


@dataclass
class _Slot:
    """A place for one worker at a time."""

    worker: WorkerHandle
    device: str
    work: _Work | None = None


@dataclass
class _Work:
    """A cell at work."""

    cell: Cell
    watchdog: Watchdog
    started: float = field(default_factory=time.perf_counter)
    epochs: int = 0
    ran_concurrently: bool = False


class LocalExecutor:
    """Works through cells with several workers at once, each kept for the cells of one model.

    Args:
        setup: Models, tasks, devices and limits.
    """

    def __init__(self, setup: ExecutorSetup) -> None:
        self._setup = setup
        self._queues: dict[str, deque[Cell]] = {}
        self._slots: list[_Slot] = []

    def submit(self, cell: Cell) -> None:
        """Queue a cell behind those of its model."""
        self._queues.setdefault(cell.label, deque()).append(cell)

    def events(self) -> Iterator[Event]:
        """Run the queued cells, and yield what happens until none is left."""
        while True:
            yield from self._fill_slots()
            busy = {slot.worker: (slot, slot.work) for slot in self._slots if slot.work}
            if not busy:
                return
            for worker in wait_for_any(busy, self._seconds_to_next_check()):
                yield self._on_message(*busy[worker], worker.receive())
            yield from self._check_watchdogs()

    def close(self) -> None:
        """End every worker."""
        for slot in self._slots:
            slot.worker.kill()

    def _seconds_to_next_check(self) -> float | None:
        now = time.monotonic()
        due = [slot.work.watchdog.seconds_to_next_check(now) for slot in self._slots if slot.work]
        return min((seconds for seconds in due if seconds is not None), default=None)

    def _check_watchdogs(self) -> Iterator[Event]:
        now = time.monotonic()
        for slot, work in [(slot, slot.work) for slot in self._slots if slot.work]:
            if work.watchdog.timed_out(now):
                slot.worker.kill()
                limit = f"{self._setup.cell_seconds:g} s, the config's cell_seconds"
                failure = Failure(f"ended after {limit}; it had reported {work.epochs} epochs")
                yield self._on_message(slot, work, failure)
            elif (silent := work.watchdog.stalled_seconds(now)) is not None:
                yield Stalled(work.cell, silent, slot.worker.pid)

    def _fill_slots(self) -> Iterator[Event]:
        """Give every idle worker a cell, and start workers while slots are free."""
        for slot in [slot for slot in self._slots if slot.work is None]:
            queue = self._queues.get(slot.worker.label)
            if queue and slot.worker.alive:
                yield self._assign(slot, queue.popleft())
            else:
                slot.worker.kill()
                self._slots.remove(slot)
        while len(self._slots) < self._setup.jobs and (label := self._next_label()):
            with uninterrupted():
                worker = WorkerHandle(label, self._setup.models[label], self._setup.log_file(label))
                slot = _Slot(worker, self._emptiest_device())
                self._slots.append(slot)
            yield self._assign(slot, self._queues[label].popleft())
        busy = [slot.work for slot in self._slots if slot.work]
        for work in busy:
            work.ran_concurrently = work.ran_concurrently or len(busy) > 1

    def _emptiest_device(self) -> str:
        taken = Counter(slot.device for slot in self._slots)
        return min(self._setup.devices, key=lambda device: taken[device])

    def _next_label(self) -> str | None:
        """Prefer a model that nobody works on; otherwise help where most is left."""
        staffed = {slot.worker.label for slot in self._slots}
        waiting = [label for label, queue in self._queues.items() if queue]
        alone = [label for label in waiting if label not in staffed]
        return alone[0] if alone else max(waiting, key=lambda label: len(self._queues[label]), default=None)

    def _assign(self, slot: _Slot, cell: Cell) -> Started:
        task = self._setup.task(cell, slot.device)
        slot.work = _Work(cell, Watchdog(time.monotonic(), self._setup.cell_seconds))
        slot.worker.send(task)
        return Started(cell, slot.worker.pid, socket.gethostname())

    def _on_message(self, slot: _Slot, work: _Work, answer: Answer) -> Event:
        if isinstance(answer, Notice):
            return Noticed(work.cell, answer.text)
        if isinstance(answer, EpochReport):
            work.epochs += 1
            work.watchdog.progress_seen(time.monotonic())
            return EpochEnded(work.cell, answer)
        slot.work = None
        if not isinstance(answer, Fitted | Failure):
            answer = Failure(f"unexpected answer: {type(answer).__name__}")
        seconds = time.perf_counter() - work.started
        return Ended(work.cell, answer, seconds, self._setup.jobs, work.ran_concurrently)
