"""The worker processes of a run, seen from the host: start, send, listen, bury."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from harness.execution.cells import ModelEntry
from harness.execution.tasks import Answer, Failure, Task
from harness.execution.worker import serve
from harness.processes import forkserver


class Worker:
    """One worker process, kept for the cells of one model.

    Args:
        entry: The model.
        log: File for what the plugin prints.
    """

    def __init__(self, entry: ModelEntry, log: Path) -> None:
        self.label = entry.label
        self._log = log
        context = forkserver()
        self.connection, theirs = context.Pipe()
        model = entry.registered
        self._process: BaseProcess = context.Process(
            target=serve, args=(theirs, model.plugin, model.model.name, log), name=f"harness-{entry.label}"
        )
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._process.pid

    def send(self, task: Task) -> None:
        """Hand over a task; a worker that has died meanwhile is noticed by :meth:`receive`."""
        try:
            self.connection.send(task)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Answer:
        """Return the next epoch or answer; a :class:`Failure` with the cause of death if the process is gone."""
        try:
            return cast("Answer", self.connection.recv())
        except (EOFError, OSError):
            self._process.join()
            return Failure(self._cause_of_death())

    @property
    def alive(self) -> bool:
        """False once the process has ended."""
        return self._process.is_alive()

    def dismiss(self) -> None:
        """Let the process end when it has nothing to do."""
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self._process.join(timeout=5)
        self.kill()

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _cause_of_death(self) -> str:
        code = self._process.exitcode or 0
        cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        memory = " (out of memory?)" if code == -signal.SIGKILL else ""
        return f"the worker process {cause}{memory}; what it printed is in {self._log}"


def wait_for_any(workers: Iterable[Worker]) -> list[Worker]:
    """Block until a worker has something to say, or has died."""
    by_connection = {worker.connection: worker for worker in workers}
    return [by_connection[cast("Connection", ready)] for ready in wait(list(by_connection))]


def ask_alone(entry: ModelEntry, task: Task, log: Path) -> Answer:
    """Run one task in a process of its own and return the answer."""
    worker = Worker(entry, log)
    try:
        worker.send(task)
        return worker.receive()
    finally:
        worker.dismiss()
