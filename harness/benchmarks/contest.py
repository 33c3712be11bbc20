"""Timing of several ways to do the same work, in turns in one process, on the same cores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from harness.benchmarks.cores import on_cores, processor_seconds

Work = Callable[[float], tuple[int, float]]
"""Works for about so many seconds, at least once; returns the images that were done and the seconds that took."""


@dataclass(frozen=True)
class Contestant:
    """One way to do the work.

    Attributes:
        name: For the table.
        work: See :data:`Work`.
        message: How it works, in words: checks, formats, precision.
        start_up_seconds: What it took to get ready; None where there is nothing to get ready.
        cores: That it may use.
    """

    name: str
    work: Work
    message: str
    start_up_seconds: float | None = None
    cores: int = 1


@dataclass(frozen=True)
class Turn:
    """What a contestant did in one turn.

    Attributes:
        images: How many.
        seconds: Wall time.
        processor_seconds: Of all its processes; never zero.
    """

    images: int
    seconds: float
    processor_seconds: float

    @property
    def speed(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def processor_speed(self) -> float:
        """Images a second of one core."""
        return self.images / self.processor_seconds


@dataclass(frozen=True)
class Spread:
    """Median and range over rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise one value a round."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Placing:
    """What a contestant reached.

    Attributes:
        name: Of the contestant.
        images_per_second: Median over rounds, by wall time.
        images_per_processor_second: Likewise, by the processor time of all its processes.
        cores: Processor time over wall time, likewise.
        ratio: Its speed by wall time over the first contestant's in the same round.
        processor_ratio: Likewise, by processor time.
        start_up_seconds: Of the contestant.
        message: Of the contestant.
    """

    name: str
    images_per_second: float
    images_per_processor_second: float
    cores: float
    ratio: Spread
    processor_ratio: Spread
    start_up_seconds: float | None
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def hold(contestants: Sequence[Contestant], rounds: int, seconds: float) -> list[Placing]:
    """Let everybody work in turns, round after round; the first is what the others are held against.

    Every round begins with another contestant. Before the first, each does its work once, untimed: what is compiled or
    loaded at the first use is no part of its speed.

    Args:
        contestants: In the order of the table.
        rounds: How often each has its turn.
        seconds: About how long a turn takes.
    """
    for one in contestants:
        _turn(one, 0.0)
    turns = [_round(contestants, seconds, number) for number in range(rounds)]
    first = [turn[0] for turn in turns]
    return [_placing(one, [turn[place] for turn in turns], first) for place, one in enumerate(contestants)]


def _round(contestants: Sequence[Contestant], seconds: float, first: int) -> list[Turn]:
    places = [(first + step) % len(contestants) for step in range(len(contestants))]
    turns = {place: _turn(contestants[place], seconds) for place in places}
    return [turns[place] for place in sorted(turns)]


def _turn(contestant: Contestant, seconds: float) -> Turn:
    with on_cores(contestant.cores):
        before = processor_seconds()
        images, took = contestant.work(seconds)
        return Turn(images, took, max(processor_seconds() - before, 1e-9))


def _placing(contestant: Contestant, turns: Sequence[Turn], first: Sequence[Turn]) -> Placing:
    pairs = list(zip(turns, first, strict=True))
    return Placing(
        contestant.name,
        median(turn.speed for turn in turns),
        median(turn.processor_speed for turn in turns),
        median(turn.processor_seconds / turn.seconds for turn in turns),
        Spread.of([turn.speed / other.speed for turn, other in pairs]),
        Spread.of([turn.processor_speed / other.processor_speed for turn, other in pairs]),
        contestant.start_up_seconds,
        contestant.message,
    )


def repeat(once: Callable[[], object], images: int) -> Work:
    """Return work that is done again and again: ``once`` does so many images."""

    def work(seconds: float) -> tuple[int, float]:
        started, passes = time.perf_counter(), 0
        while passes == 0 or time.perf_counter() - started < seconds:
            once()
            passes += 1
        return passes * images, time.perf_counter() - started

    return work
