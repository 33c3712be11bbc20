"""Host-side handle of a worker process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from harness.cache import Note
from harness.errors import CellError
from harness.plugin_api.model import EpochReport
from harness.plugin_api.reference import ModelReference
from harness.processes import forkserver, preload
from harness.workers import supervisor
from harness.workers.messages import Answer, Failure, ImagesDone, Notice, Task
from harness.workers.serialization import FRAME_BYTES, decode

_GRACE_SECONDS = 5
_TASK = b"task"
_PRECEDING = (EpochReport, Notice, ImagesDone)
preload(supervisor)


class WorkerHandle:
    """One model's supervisor, kept for its cells; it has each task done in a process of its own.

    Args:
        label: What the run calls the model.
        model: The model and its plugin.
        log: File for what the plugin prints.
    """

    def __init__(self, label: str, model: ModelReference, log: Path) -> None:
        self.label = label
        self._log, self._spent = log, False
        context = forkserver()
        self.connection, theirs = context.Pipe()
        tasks, self._tasks = context.Pipe(duplex=False)
        self._process: BaseProcess = context.Process(
            target=supervisor.supervise,
            args=(theirs, tasks, model.plugin, model.name, log),
            name=f"harness-{label}",
        )
        self._process.start()
        theirs.close()
        tasks.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return cast("int", self._process.pid)  # it has been started

    def send(self, task: Task) -> None:
        """Hand over a task; a worker that has died meanwhile is noticed by :meth:`receive`."""
        try:
            self.connection.send_bytes(_TASK)
            self._tasks.send(task)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Answer:
        """Return the next epoch or answer; a :class:`Failure` if the process is gone or has sent what is no answer."""
        try:
            answer = decode(self.connection.recv_bytes(FRAME_BYTES))
        except CellError as error:
            self.kill()
            return Failure(str(error))
        except (EOFError, OSError):
            self.kill()
            return Failure(f"the process that watches over the plugin is gone; what was printed is in {self._log}")
        self._spent = isinstance(answer, Failure)
        return answer

    @property
    def alive(self) -> bool:
        """False once the process has ended, or may be about to: it does if a task was not even read."""
        return not self._spent and self._process.is_alive()

    def kill(self) -> None:
        """End the process now, and everything that it has started: it does so itself when the host hangs up."""
        self.connection.close()
        self._tasks.close()
        self._process.join(_GRACE_SECONDS)
        self._process.kill()
        self._process.join()


def wait_for_any(workers: Iterable[WorkerHandle], seconds: float | None = None) -> list[WorkerHandle]:
    """Block until a worker has something to say, or has died, at most so many seconds."""
    by_connection = {worker.connection: worker for worker in workers}
    return [by_connection[cast("Connection", ready)] for ready in wait(list(by_connection), seconds)]


def ask(worker: WorkerHandle, task: Task, note: Note, seconds: float | None = None) -> Answer:
    """Have one task done, let the worker go, and return the answer.

    Args:
        worker: One without a task.
        task: What to do.
        note: Is told what the worker says before it answers.
        seconds: How long to wait for each thing that it says.
    """
    try:
        worker.send(task)
        while wait_for_any([worker], seconds):
            answer = worker.receive()
            if not isinstance(answer, Notice):
                return answer
            note(f"{worker.label}: {answer.text}")
        return Failure(f"no answer within {seconds:g} s")
    finally:
        worker.kill()


def ask_all(
    asked: Sequence[tuple[Callable[[], WorkerHandle], Task]],
    at_once: int,
    on_message: Callable[[Answer], None],
    seconds: float,
) -> Iterator[tuple[int, Answer]]:
    """Have several tasks done, each by a worker of its own, and yield the place of a task and its answer as they come.

    Args:
        asked: What makes a worker, and its task.
        at_once: Workers.
        on_message: Is told what a worker says before it answers.
        seconds: How long each may be silent before it is ended, and has failed.
    """
    waiting, busy = deque(enumerate(asked)), dict[WorkerHandle, int]()
    heard: dict[WorkerHandle, float] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < at_once:
                place, (make, task) = waiting.popleft()
                worker = make()
                busy[worker], heard[worker] = place, time.monotonic()
                worker.send(task)
            for worker in wait_for_any(busy, min(heard[worker] for worker in busy) + seconds - time.monotonic()):
                heard[worker] = time.monotonic()
                answer = worker.receive()
                if isinstance(answer, _PRECEDING):
                    on_message(answer)
                else:
                    worker.kill()
                    yield busy.pop(worker), answer
            for worker in [worker for worker in busy if time.monotonic() - heard[worker] >= seconds]:
                worker.kill()
                yield busy.pop(worker), Failure(f"silent for {seconds:g} s")
    finally:
        for worker in busy:
            worker.kill()
