"""Host-side handle of an observer's process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from harness.plugin_api.discovery import RegisteredObserver
from harness.processes import forkserver, preload, uninterrupted
from harness.text import printable
from harness.workers import observer_process
from harness.workers.observer_process import RAISED, TAKEN

MESSAGES = 10_000
"""How many may wait for an observer."""
MESSAGE_SECONDS = 60.0
"""How long it may be at one of them."""
FINISH_SECONDS = 10.0
"""How long it may go on after the run."""

_CHUNK, _READS = 1 << 16, 64
_EXIT_SECONDS = 1.0
preload(observer_process)


class ObserverLostError(Exception):
    """An observer cannot be told any more; the message says why."""


class ObserverHandle:
    """An observer in its process; nothing here waits for it but :meth:`finish`.

    A thread writes to the pipe, which holds little: an observer may be busy for a while without being in the way.

    Args:
        registered: The observer and its plugin.
        options: Of the observer, as JSON values.
        log: File for what it prints.
    """

    def __init__(self, registered: RegisteredObserver, options: dict[str, Any], log: Path) -> None:
        self.name, self.log = registered.observer.name, log
        self._queue: queue.Queue[bytes | None] = queue.Queue(MESSAGES)
        self._unanswered: deque[float] = deque()
        self._heard, self._reason, self._hung_up = 0.0, b"", False
        context = forkserver()
        messages, self._messages = context.Pipe(duplex=False)
        self._answers, answers = context.Pipe(duplex=False)
        os.set_blocking(self._answers.fileno(), False)
        self._process = context.Process(
            target=observer_process.observe,
            args=(messages, answers, registered.plugin, self.name, options, log),
            name=f"harness-observer-{self.name}",
        )
        with uninterrupted():
            self._process.start()
        messages.close()
        answers.close()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def tell(self, method: str, *records: dict[str, Any]) -> None:
        """Hand over an event.

        Raises:
            ObserverLostError: The observer has raised, its process has ended, or it does not take what it is told.
        """
        now = time.monotonic()
        self._hear(now)
        if self._hung_up or self._reason:
            raise ObserverLostError(self._why_it_ended())
        if self._unanswered and now - max(self._heard, self._unanswered[0]) > MESSAGE_SECONDS:
            raise ObserverLostError(f"it has been at one event for more than {MESSAGE_SECONDS:g} s")
        try:
            self._queue.put_nowait(json.dumps([method, *records]).encode())
        except queue.Full:
            raise ObserverLostError(f"it is {MESSAGES:,} events behind") from None
        self._unanswered.append(now)

    def hang_up(self) -> None:
        """Say that nothing more will be told."""
        with contextlib.suppress(queue.Full):  # finish() then finds that it has not ended
            self._queue.put_nowait(None)

    def finish(self, deadline: float) -> None:
        """Wait until the process has ended, at the latest until a time of the monotonic clock.

        Raises:
            ObserverLostError: It has not ended by then, or not well.
        """
        self._process.join(max(0.0, deadline - time.monotonic()))
        self._hear(time.monotonic())
        if self._process.exitcode is None and not self._reason:
            raise ObserverLostError(f"it has not finished within {FINISH_SECONDS:g} s after the run")
        if self._process.exitcode != 0 or self._unanswered:
            raise ObserverLostError(self._why_it_ended())

    def kill(self) -> None:
        """End the process, if it has not ended."""
        self._process.kill()
        self._process.join()
        self.hang_up()
        self._writer.join(_EXIT_SECONDS)
        self._answers.close()

    def _write(self) -> None:
        with self._messages, contextlib.suppress(OSError):  # a process that has ended is noticed by its answers
            while (message := self._queue.get()) is not None:
                self._messages.send_bytes(message)

    def _hear(self, now: float) -> None:
        """Read the answers that are there."""
        for _ in range(_READS):  # one that answers without end does not keep the host
            if self._hung_up or self._reason:
                return
            try:
                data = os.read(self._answers.fileno(), _CHUNK)
            except BlockingIOError:
                return
            self._hung_up = not data
            taken, raised, reason = data.partition(RAISED)
            self._reason = raised + reason
            for _ in range(min(taken.count(TAKEN), len(self._unanswered))):
                self._unanswered.popleft()
                self._heard = now

    def _why_it_ended(self) -> str:
        if self._reason:
            return printable(self._reason.removeprefix(RAISED).decode(errors="replace"))
        self._process.join(_EXIT_SECONDS)  # a pipe closes a moment before its process is dead
        code = self._process.exitcode
        if code is None:
            return "it has closed its connection"
        return f"its process has ended, by signal {-code}" if code < 0 else f"its process has ended, with code {code}"
