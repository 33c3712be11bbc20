"""Work spread over threads, for what lets go of the interpreter's lock: arrays, files, compiled loops."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, Generic, TypeVar

import threadpoolctl

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 8  # what keeps the lock leaves no more than a few threads something to do
_AHEAD = 2


def map_in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Apply ``work`` to every item and yield the results in order, a few items ahead of whoever takes them.

    Libraries of linear algebra have one thread meanwhile, so that sums have the same order on every machine.
    """
    threads = min(usable_cores(), _MOST)
    pending: deque[Future[Result]] = deque()
    with one_thread_each(), ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > _AHEAD * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class lazy(Generic[Result]):  # noqa: N801 - a decorator, named like property
    """A property that is computed at its first use.

    :func:`functools.cached_property` holds a lock for all instances of a class in Python 3.11 and before, so that
    threads with an instance each would compute one after the other.
    """

    def __init__(self, compute: Callable[[Any], Result]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Result:
        value = self._compute(instance)
        instance.__dict__[self._name] = value
        return value


def usable_cores() -> int:
    """Return the number of cores that this process may use, such as those that a cluster's scheduler has given it."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def one_thread_each() -> Any:
    """Return a context in which libraries of linear algebra use one thread: small products wait for each other."""
    return _thread_pools().limit(limits=1)


@cache
def _thread_pools() -> Any:
    return threadpoolctl.ThreadpoolController()
