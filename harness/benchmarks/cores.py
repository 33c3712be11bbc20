"""Cores and processor time of this process and its descendants."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

_OWN_AND_ENDED_CHILDREN = 4  # user, system, children_user, children_system


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keep this process and its descendants, those to come included, on so many cores; without effect but on Linux."""
    if sys.platform != "linux":
        yield
        return
    allowed = os.sched_getaffinity(0)
    _pin(sorted(allowed)[:count])
    try:
        yield
    finally:
        _pin(allowed)


def processor_seconds() -> float:
    """Return the processor time that this process and its descendants have spent so far.

    Of descendants that have ended their parents tell, on Linux alone; elsewhere their time is missing.
    """
    ended = os.times()
    spent = time.process_time() + ended.children_user + ended.children_system
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            spent += sum(child.cpu_times()[:_OWN_AND_ENDED_CHILDREN])
    return spent


def _pin(cores: Collection[int]) -> None:
    here = psutil.Process()
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(OSError):  # it has just ended
            for thread in Path(f"/proc/{process.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)
