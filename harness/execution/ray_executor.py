"""The executor of cells on a Ray cluster: worker slots on its nodes, each kept for the cells of one model at a time."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Sequence

import ray
import torch
from ray.actor import ActorHandle
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from harness.errors import CellError, EnvironmentMissingError
from harness.execution.cell_at_work import CellAtWork, seconds_to_next_check
from harness.execution.cell_queues import CellQueues
from harness.execution.executor import Ended, Event, ExecutorSetup, Noticed, Stalled, Started
from harness.execution.ray_cluster import compare_versions, connect, explained, gpu_share
from harness.execution.ray_files import OutgoingFiles, empty, keep
from harness.execution.ray_messages import (
    MARK,
    CellOrder,
    HostFile,
    Introduction,
    Message,
    Printed,
    SavedPart,
    SentStage,
)
from harness.execution.ray_slot import WorkerSlot, code_versions
from harness.execution.ray_slots import Assignment, Slot
from harness.store.cells import Cell
from harness.training.devices import versions
from harness.workers.capped_log import append_capped
from harness.workers.messages import Failure

ATTEMPTS = 3
"""How often a cell is begun at most if its node or slot is lost, and how many slots may fail to start in turn."""


class RayExecutor:
    """Works through cells with worker slots on the nodes of a Ray cluster.

    Ray starts a slot anew where its process or node is lost; the cell that was lost with it is begun again from here,
    at most :data:`ATTEMPTS` times.

    Args:
        setup: Models, tasks, devices, limits, and where the cluster is.

    Raises:
        EnvironmentMissingError: There is no such cluster, or it has no room for a cell.
    """

    def __init__(self, setup: ExecutorSetup) -> None:
        self._setup = setup
        self._queues, self._files = CellQueues(), OutgoingFiles()
        self._slots: list[Slot] = []
        self._assignments: dict[Cell, Assignment] = {}
        self._failed_starts = 0
        registered = setup.models.values()
        self._distributions = sorted({one.distribution.partition(" ")[0] for one in registered if not one.plugin.file})
        self._versions = {**versions(), **code_versions(self._distributions)}
        self._device = setup.devices[0]
        on_gpu = self._device.startswith("cuda")
        memory = torch.cuda.get_device_properties(self._device).total_memory if on_gpu else 0
        self._gpus = gpu_share(setup.peak_bytes, memory) if on_gpu else 0.0
        connect(setup.address, setup.threads, self._gpus, setup.jobs)

    def submit(self, cell: Cell) -> None:
        """Queue a cell behind those of its model."""
        self._queues.put(cell)

    def events(self) -> Iterator[Event]:
        """Run the queued cells, and yield what happens until none is left.

        Raises:
            EnvironmentMissingError: A node has other versions that it must not have, or the cluster is lost.
        """
        with explained():
            while self._queues or any(slot.assignment for slot in self._slots):
                self._open_slots()
                yield from self._assign_cells()
                for slot in self._answered():
                    yield from self._take_answer(slot)
                yield from self._check_watchdogs()

    def close(self) -> None:
        """End every worker slot, and leave the cluster; one that was started for the run ends."""
        for slot in [*self._slots]:
            self._end_slot(slot)
        ray.shutdown()

    def _open_slots(self) -> None:
        """Ask for so many slots as there is work for; Ray starts them where and when there is room."""
        cells = len(self._queues) + sum(slot.assignment is not None for slot in self._slots)
        while len(self._slots) < min(self._setup.jobs, cells):
            slot = Slot(self._start_actor())
            self._slots.append(slot)
            self._introduce(slot)

    def _start_actor(self) -> ActorHandle:
        options = ray.remote(WorkerSlot).options(
            num_cpus=self._setup.threads,
            num_gpus=self._gpus,
            max_restarts=-1,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )
        return options.remote(self._device, os.environ.get("OMP_NUM_THREADS"))

    def _introduce(self, slot: Slot) -> None:
        """Have a slot say where it is as soon as it has started; that is asked again if it starts anew meanwhile."""
        slot.about, slot.has = None, set()
        slot.pending = slot.actor.introduce.options(max_task_retries=-1).remote(self._distributions)
        slot.on_answer = self._on_introduction

    def _assign_cells(self) -> Iterator[Event]:
        """Give every slot that has started and has no cell the next one; slots for which none is left are ended."""
        for slot in [slot for slot in self._slots if slot.assignment is None]:
            if not self._queues:
                self._end_slot(slot)
            elif slot.about is not None:
                yield from self._assign(slot, self._next_cell(slot))

    def _next_cell(self, slot: Slot) -> Cell:
        cell = self._queues.take(slot.label)
        if cell is None:
            label = self._queues.next_label({other.label for other in self._slots if other.assignment})
            cell = self._queues.take(str(label))
        assert cell is not None
        return cell

    def _assign(self, slot: Slot, cell: Cell) -> Iterator[Event]:
        if cell not in self._assignments:
            self._assignments[cell] = self._new_assignment(cell)
        slot.assignment, slot.label = self._assignments[cell], cell.label
        unknown = [file for file in slot.assignment.order.files if file not in slot.has]
        if unknown:
            slot.pending, slot.on_answer = slot.actor.lacking.remote(unknown), self._on_lacking
        else:
            yield from self._begin(slot, slot.assignment, lacking=())

    def _new_assignment(self, cell: Cell) -> Assignment:
        model, task = self._setup.models[cell.label], self._setup.task(cell, self._device)
        files = self._files.files_of(task, model, self._setup.starts[cell.label])
        mark = uuid.uuid4().hex
        if task.checkpoint is not None:
            task.checkpoint.joinpath(MARK).write_text(mark, encoding="ascii")
        stages = self._files.stages_of(task)
        needed = (*files, *(file for of_stage in stages.values() for file in of_stage))
        log = self._setup.log_file(cell.label)
        return Assignment(cell, CellOrder(cell.label, model.reference, task, log, needed, stages, mark))

    def _begin(self, slot: Slot, assignment: Assignment, lacking: Sequence[HostFile]) -> Iterator[Event]:
        """Have a slot begin its cell."""
        assert slot.about is not None
        if assignment.losses:
            empty(assignment.order.task.folder)
        pieces = self._files.pieces_of(lacking)
        order = assignment.order if slot.remark is None else assignment.order.without_features()
        slot.pending = slot.actor.work.options(num_returns="streaming").remote(order, pieces)
        slot.on_answer = self._on_message
        slot.work = CellAtWork(assignment.cell, self._setup.cell_seconds)
        beside = [other.work for other in self._slots if other.work and other.shares_node_with(slot)]
        for work in beside:
            work.ran_concurrently = work.ran_concurrently or len(beside) > 1
        yield Started(assignment.cell, slot.about.pid, slot.about.host, slot.about.device, slot.about.versions)
        if slot.remark is not None:
            yield Noticed(assignment.cell, slot.remark)

    def _answered(self) -> list[Slot]:
        """Wait until Ray has an answer, at most until a watchdog is due, and return the slots that have one."""
        waiting = {slot.pending: slot for slot in self._slots if slot.pending is not None}
        if not waiting:
            return []
        ready, _ = ray.wait([*waiting], num_returns=1, timeout=seconds_to_next_check(slot.work for slot in self._slots))
        if ready and len(waiting) > 1:
            ready, _ = ray.wait([*waiting], num_returns=len(waiting), timeout=0)
        return [waiting[answer] for answer in ready]

    def _take_answer(self, slot: Slot) -> Iterator[Event]:
        assert slot.on_answer is not None
        try:
            stream = isinstance(slot.pending, ray.ObjectRefGenerator)
            answer = ray.get(next(slot.pending) if stream else slot.pending)
        except (RayError, StopIteration) as error:
            if isinstance(error, RayTaskError) and not isinstance(error.cause, RayError) and slot.assignment:
                reason = f"the worker slot failed: {type(error.cause).__name__}: {error.cause}"
                yield from self._on_message(slot, Failure(reason, str(error)))
            else:
                yield from self._on_loss(slot, error)
            return
        yield from slot.on_answer(slot, answer)

    def _on_introduction(self, slot: Slot, about: Introduction) -> Iterator[Event]:
        slot.remark = compare_versions(self._versions, about, libraries_may_differ=self._setup.libraries_may_differ)
        slot.about, slot.pending, self._failed_starts = about, None, 0
        yield from ()

    def _on_lacking(self, slot: Slot, lacking: Sequence[HostFile]) -> Iterator[Event]:
        assert slot.assignment is not None
        yield from self._begin(slot, slot.assignment, lacking)

    def _on_message(self, slot: Slot, message: Message) -> Iterator[Event]:
        assert slot.assignment is not None
        order = slot.assignment.order
        if isinstance(message, Printed):
            append_capped(order.log, message.content)
        elif isinstance(message, SavedPart | SentStage):
            try:
                keep(message, order.task)
            except CellError as error:
                yield from self._end_cell(slot, Failure(str(error)))
        else:
            work = slot.work or CellAtWork(slot.assignment.cell, None)
            event = work.event(message, self._setup.jobs)
            if isinstance(event, Ended):
                if not isinstance(event.answer, Failure):
                    slot.has.update(order.files)
                del self._assignments[slot.assignment.cell]
                slot.assignment, slot.work, slot.pending = None, None, None
            yield event

    def _on_loss(self, slot: Slot, error: BaseException) -> Iterator[Event]:
        """Have a lost slot start anew, and its cell begun again."""
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if slot.about is None:
            self._end_slot(slot)
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS:
                raise EnvironmentMissingError(f"no worker slot starts on the Ray cluster: {why}") from error
        assignment, work = slot.assignment, slot.work
        slot.assignment, slot.work = None, None
        if slot.about is not None:
            self._introduce(slot)
        if assignment is None:
            return
        assignment.losses += 1
        if assignment.losses < ATTEMPTS:
            self._queues.put_back(assignment.cell)
            yield Noticed(assignment.cell, f"a node or worker slot was lost, and its cell is begun again ({why})")
            return
        del self._assignments[assignment.cell]
        reason = f"lost with its node or worker slot {assignment.losses} times: {why}"
        failure = Failure(reason, cause="memory" if isinstance(error, OutOfMemoryError) else "plugin")
        yield (work or CellAtWork(assignment.cell, None)).event(failure, self._setup.jobs)

    def _check_watchdogs(self) -> Iterator[Event]:
        now = time.monotonic()
        for slot, work in [(slot, slot.work) for slot in self._slots if slot.work]:
            if work.watchdog.timed_out(now):
                yield from self._end_cell(slot, work.failure_in_time())
            elif slot.about and (silent := work.watchdog.stalled_seconds(now)) is not None:
                yield Stalled(work.cell, silent, slot.about.pid)

    def _end_cell(self, slot: Slot, failure: Failure) -> Iterator[Event]:
        """End a slot in the middle of its cell."""
        self._end_slot(slot)
        yield from self._on_message(slot, failure)

    def _end_slot(self, slot: Slot) -> None:
        self._slots.remove(slot)
        with contextlib.suppress(RayError):
            ray.kill(slot.actor)
