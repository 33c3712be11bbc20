"""Child processes: a preloaded fork server, helper pools, and their end."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import psutil

from harness.errors import DataError
from harness.threads import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

_preload = [
    "torch",
    "torchvision.io",
    "pandas",
    "pyarrow.parquet",
    "timm",
    "sklearn.svm",
    "skimage.feature",
    "harness.compiler",
]
_CHUNK = 16
_CHILDREN_OF_OTHERS = frozenset(child.pid for child in psutil.Process().children(recursive=True))
"""What was there before: a shell that becomes this process leaves it its children."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def preload(module: ModuleType) -> None:
    """Have the server of forks import a module before it forks; before the first process is started."""
    _preload.append(module.__name__)


@functools.cache
def forkserver() -> ForkServerContext:
    """Return the context whose processes fork from a preloaded server.

    Forking the host itself would copy its threads' locks in whatever state they are (torch's among them); spawning
    would import torch and timm again for every process, which takes seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_preload)
    return context


def map_in_order(
    work: Callable[[Item], Result], items: Sequence[Item], pool_from: int, chunksize: int = 1
) -> Iterator[Result]:
    """Apply ``work`` to every item and yield the results in order.

    Args:
        work: A function that can be pickled.
        items: What to work on.
        pool_from: So many items are worth starting processes for, one a usable core, with one thread of torch each.
        chunksize: Items handed to a process at a time.
    """
    if len(items) < pool_from:
        yield from map(work, items)
        return
    with _helpers(usable_cores()) as pool:
        yield from pool.map(work, items, chunksize=chunksize)


def map_strange(work: Callable[[Item], Result], items: Sequence[Item], name: Callable[[Item], str]) -> Iterator[Result]:
    """Apply ``work``, in helper processes, to what comes from elsewhere and may end the process that looks at it.

    Args:
        work: A function that can be pickled.
        items: Such as files that a decoder written in C is given.
        name: What to call an item in an error.

    Yields:
        The results in order.

    Raises:
        DataError: An item has ended its process, alone as well.
    """
    done = 0
    try:
        with _helpers(min(usable_cores(), -(-len(items) // _CHUNK))) as pool:
            for result in pool.map(work, items, chunksize=_CHUNK):
                yield result
                done += 1
    except BrokenProcessPool:
        yield from _one_by_one(work, items[done:], name)


def _one_by_one(work: Callable[[Item], Result], items: Sequence[Item], name: Callable[[Item], str]) -> Iterator[Result]:
    with _helpers(1) as pool:
        for item in items:
            try:
                yield pool.submit(work, item).result()
            except BrokenProcessPool as error:
                raise DataError(
                    f"{name(item)} has ended the process that was reading it: a decoder has crashed on it, or there is "
                    "too little memory - move it away, or get it again"
                ) from error


def _helpers(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max(1, count), mp_context=forkserver(), initializer=_become_helper)


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


def end_descendants() -> None:
    """Kill whatever this process has started, or has become the parent of, and that has not ended by itself.

    The tracker of shared memory ends last and by itself: it tidies up behind the others.
    """
    for child in psutil.Process().children(recursive=True):
        if child.pid in _CHILDREN_OF_OTHERS:
            continue
        with contextlib.suppress(psutil.Error):
            if not any("resource_tracker" in part for part in child.cmdline()):
                child.kill()


def die_with_parent() -> None:
    """Have the system kill this process when the one that forked it ends, whatever it is doing then (on Linux)."""
    _let_server_go()
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended while this was said
        os.kill(os.getpid(), signal.SIGKILL)


def wake_with_parent() -> None:
    """Have the system continue this process, should it be stopped, when the one that forked it ends (on Linux)."""
    _let_server_go()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)


def _let_server_go() -> None:
    """Let the server of forks end with the host: it does so once nobody holds a pipe that every child is given."""
    held = getattr(multiprocessing.forkserver._forkserver, "_forkserver_alive_fd", None)  # noqa: SLF001
    if held is not None:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, held, inheritable=False)
        os.close(nothing)


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
    die_with_parent()
    import torch  # noqa: PLC0415 - it is there in every helper, and the host may do without

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_host, daemon=True).start()


def _end_with_host() -> None:
    """The host's end of the queue is open in every helper: none of them would see it close."""
    host = multiprocessing.parent_process()
    if host is not None:
        host.join()
        os._exit(1)
