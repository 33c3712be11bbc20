"""Timers at the seams of the host: every moment counts for one kind of work, the innermost that has a timer."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock


@dataclass
class Spent:
    """Seconds of wall and of this thread's processor time, and calls."""

    wall: float = 0.0
    processor: float = 0.0
    calls: int = 0


class Timers:
    """Seconds by kind of work; where one is timed within another, they count for the inner one alone."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, Spent] = defaultdict(Spent)
        self._running: list[str] = []
        self._last = (0.0, 0.0)

    @contextmanager
    def timing(self, kind: str) -> Iterator[None]:
        """Count what is done meanwhile as this kind of work."""
        self._turn()
        self._running.append(kind)
        self.spent[kind].calls += 1
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def timed(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is counted as this kind of work."""

        @functools.wraps(function)
        def wrapper(*given: Any, **named: Any) -> Any:
            if not self._running:
                return function(*given, **named)
            with self.timing(kind):
                return function(*given, **named)

        return wrapper

    def _turn(self) -> None:
        """Give what has passed since the last change to the kind that was running."""
        now = (time.perf_counter(), time.thread_time())
        if self._running:
            spent = self.spent[self._running[-1]]
            spent.wall += now[0] - self._last[0]
            spent.processor += now[1] - self._last[1]
        self._last = now


@contextmanager
def timers_at(seams: dict[str, list[tuple[Any, str]]], whole: tuple[Any, str], rest: str) -> Iterator[Timers]:
    """Time functions for the while; nothing counts outside of the whole.

    Args:
        seams: Functions by the kind of work that they are: where each stands, and its name there.
        whole: The function within which all of it counts.
        rest: The kind of work that is everything else in it.
    """
    timers = Timers()
    with ExitStack() as patches:
        for kind, places in seams.items():
            for holder, name in places:
                wrapper = timers.timed(kind, getattr(holder, name))
                patches.enter_context(mock.patch.object(holder, name, wrapper))
        inner = getattr(*whole)

        def counted(*given: Any, **named: Any) -> Any:
            with timers.timing(rest):
                return inner(*given, **named)

        patches.enter_context(mock.patch.object(*whole, counted))
        yield timers
