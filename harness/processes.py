"""How child processes are started: from a server that has done the heavy imports once."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import multiprocessing
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_HEAVY = [
    *("harness", "harness.workers.warden", "torch", "torchvision.io", "pandas", "pyarrow.parquet", "timm"),
    *("sklearn.svm", "skimage.feature"),
]
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


@functools.cache
def forkserver() -> ForkServerContext:
    """Return the context whose processes fork from a preloaded server.

    Forking the host itself would copy its threads' locks in whatever state they are (torch's among them); spawning
    would import torch and timm again for every process, which takes seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_HEAVY)
    return context


def map_in_order(
    work: Callable[[Item], Result], items: Sequence[Item], pool_from: int, chunksize: int = 1
) -> Iterator[Result]:
    """Apply ``work`` to every item and yield the results in order.

    Args:
        work: A function that can be pickled.
        items: What to work on.
        pool_from: So many items are worth starting processes for, one a core, with one thread of torch each.
        chunksize: Items handed to a process at a time.
    """
    if len(items) < pool_from:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(os.cpu_count(), mp_context=forkserver(), initializer=_become_helper) as pool:
        yield from pool.map(work, items, chunksize=chunksize)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until the end: a process that is interrupted while it starts another leaves it half started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends; without effect where there is no Linux."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the system kill this process when the one that forked it ends, whatever it is doing then (on Linux)."""
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended while this was said
        os.kill(os.getpid(), signal.SIGKILL)


def mute_output() -> None:
    """Send what this process prints nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


def mute_descriptors(keep: Collection[int]) -> None:
    """Turn every inherited pipe and socket into nothing, so that a plugin cannot write to what the harness talks over.

    They stay open, as ``/dev/null``: the library that opened one would stumble over a number that is closed.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        with contextlib.suppress(OSError):
            kind = os.fstat(number).st_mode
            if number not in keep and (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
                os.dup2(nothing, number, inheritable=False)
    os.close(nothing)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _become_helper() -> None:
    """Work with one thread of torch, leave Ctrl-C to the host, and end when the host has."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_host, daemon=True).start()


def _end_with_host() -> None:
    """The host's end of the queue is open in every helper: none of them would see it close."""
    host = multiprocessing.parent_process()
    if host is not None:
        host.join()
        os._exit(1)
