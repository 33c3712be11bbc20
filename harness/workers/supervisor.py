"""The supervisor: forks a fresh process for each task of a model and outlives it.

A task starts in a process freshly forked from here, where no plugin's code has ever run. So whatever the task before
has changed - generators, threads, default types, the working folder, signal handlers, a module's globals - is gone with
the process that it was changed in, and there is nothing to restore and nothing to forget.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Self

import psutil

from harness.errors import CellError
from harness.plugin_api.reference import PluginReference
from harness.processes import adopt_orphans, die_with_parent, mute_descriptors, wake_with_parent
from harness.workers.capped_log import append_capped
from harness.workers.failures import ExitStatus, count_oom_kills, explain_exit
from harness.workers.messages import Failure
from harness.workers.serialization import TAKEN, Frames, encode, ends_task
from harness.workers.worker import answer_task

_CHUNK = 1 << 16
_GRACE_SECONDS = 1.0
_PAUSE_SECONDS = 0.005


def supervise(connection: Connection, tasks: Connection, plugin: PluginReference, model_name: str, log: Path) -> None:
    """Have tasks done until the host hangs up, or is gone.

    A task is read by the process that does it and by no other. What this process had read, every later cell could find
    in the memory that it is forked from: rows and labels of other folds, test images among them.

    Args:
        connection: Says that a task is there; answers go out as :mod:`harness.workers.serialization` writes them.
        tasks: Gives the pickled tasks.
        plugin: The plugin to load, in the process of each task.
        model_name: The model to take from it.
        log: File for whatever the plugin prints, so that it does not disturb the display.
    """
    os.setsid()  # Ctrl-C is the host's to handle
    adopt_orphans()
    wake_with_parent()
    with _child_exits() as exit_pipe, contextlib.suppress(EOFError, OSError):
        while connection.recv_bytes():
            with _TaskProcess(partial(answer_task, plugin, model_name, tasks), {tasks.fileno()}, log) as process:
                last = process.watch(connection, exit_pipe)
            connection.send_bytes(last)  # only now that nothing of it runs any more
            if not process.has_taken:
                return  # what it has left of its task must not be taken for the next one


class _TaskProcess:
    """The process at work on one task, and all that it has started.

    Args:
        work: Is called in the process with the descriptor that takes answers.
        keep: Descriptors that the process needs as well.
        log: File for what it prints.
    """

    def __init__(self, work: Callable[[int], None], keep: set[int], log: Path) -> None:
        self._log, self._frames, self._oom_kills = log, Frames(), count_oom_kills()
        self.has_taken = False
        self._answers, answers = os.pipe()
        self._output, output = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _become_worker(work, answers, output, keep)
        with contextlib.suppress(OSError):
            os.setpgid(self._pid, self._pid)  # here and there, since nobody knows which of the two comes first
        os.close(answers)
        os.close(output)
        self._open = {self._answers, self._output}
        for descriptor in self._open:
            os.set_blocking(descriptor, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end_family(self._pid)
        with contextlib.suppress(CellError):
            self._read_answers()
        self._keep_output()
        os.close(self._answers)
        os.close(self._output)

    def watch(self, connection: Connection, exit_pipe: int) -> bytes:
        """Pass epochs on to the host and return the message that ends the task.

        Raises:
            EOFError: The host is gone.
        """
        try:
            while connection not in wait([connection, exit_pipe, *self._open]):
                _drain(exit_pipe)
                status_of_exit = self._exit_status()  # before reading: what it has written last is then in the pipe
                self._keep_output()
                for message in self._read_answers():
                    if ends_task(message):
                        return message
                    if message == TAKEN:
                        self.has_taken = True
                    else:
                        connection.send_bytes(message)
                if self._answers not in self._open and status_of_exit is None:
                    wait([exit_pipe], _GRACE_SECONDS)  # a pipe closes a moment before its process is dead
                    status_of_exit = self._exit_status()
                    if status_of_exit is None:
                        return encode(Failure("the plugin has closed the worker process's connection to the host"))
                if status_of_exit is not None:
                    return encode(explain_exit(status_of_exit, self._log))
        except CellError as error:
            return encode(Failure(str(error)))
        raise EOFError

    def _exit_status(self) -> ExitStatus | None:
        pid, status, usage = os.wait4(self._pid, os.WNOHANG)
        if not pid:
            return None
        unit = 1 if sys.platform == "darwin" else 1024
        return ExitStatus(
            os.waitstatus_to_exitcode(status), usage.ru_maxrss * unit, count_oom_kills() - self._oom_kills
        )

    def _read_answers(self) -> list[bytes]:
        return [message for data in self._read(self._answers) for message in self._frames.take(data)]

    def _keep_output(self) -> None:
        for data in self._read(self._output):
            append_capped(self._log, data)

    def _read(self, descriptor: int) -> Iterator[bytes]:
        """Yield what is there to be read now, at most 64 chunks of it, so that the other pipe is not forgotten."""
        for _ in range(64 if descriptor in self._open else 0):
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                self._open.remove(descriptor)
                return
            yield data


def _become_worker(work: Callable[[int], None], answers: int, output: int, keep: set[int]) -> None:
    """Do the task in this forked process and end it; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        os.dup2(output, 1)
        os.dup2(output, 2)
        mute_descriptors(keep={0, 1, 2, answers, *keep})
        work(answers)
        code = 0
    except BaseException:  # noqa: BLE001 - above this frame begins the supervisor's own code, which must not go on here
        traceback.print_exc()
    finally:
        os._exit(code)


@contextlib.contextmanager
def _child_exits() -> Iterator[int]:
    """Give a descriptor that can be read from once a child has ended."""
    exit_pipe, exit_pipe_writer = os.pipe()
    for descriptor in (exit_pipe, exit_pipe_writer):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGCHLD, _ignore)
    signal.set_wakeup_fd(exit_pipe_writer, warn_on_full_buffer=False)
    yield exit_pipe


def _ignore(number: int, frame: FrameType | None) -> None:
    """Handle a signal whose number is written to the wake-up descriptor."""


def _drain(exit_pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(exit_pipe, _CHUNK)


def _end_family(pid: int) -> None:
    """Kill a process, its group, and whatever else descends from it: orphans are children of this process by then."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    with contextlib.suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            time.sleep(_PAUSE_SECONDS)
