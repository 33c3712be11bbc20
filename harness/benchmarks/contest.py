"""Timing of several ways to do the same work, in turns in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Contestant:
    """One way to do the work.

    Attributes:
        name: For the table.
        images_per_second: Works for about so many seconds and returns its speed.
        start_up_seconds: What it took to get ready.
        message: How it works, in words.
    """

    name: str
    images_per_second: Callable[[float], float]
    start_up_seconds: float
    message: str = ""


@dataclass(frozen=True)
class Placing:
    """What a contestant reached.

    Attributes:
        name: Of the contestant.
        images_per_second: Median over rounds.
        ratio: Median over rounds of its speed over the first contestant's in the same round.
        start_up_seconds: Of the contestant.
        message: Of the contestant.
    """

    name: str
    images_per_second: float
    ratio: float
    start_up_seconds: float
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return dict(vars(self))


def hold(contestants: Sequence[Contestant], rounds: int, seconds: float) -> list[Placing]:
    """Let everybody work in turns, round after round; the first is what the others are held against.

    Args:
        contestants: In the order of the table.
        rounds: How often each has its turn; one more, before, does not count.
        seconds: About how long a turn takes.
    """
    turns = [[one.images_per_second(seconds) for one in contestants] for _ in range(rounds + 1)][1:]
    return [
        Placing(
            one.name,
            median(turn[place] for turn in turns),
            median(turn[place] / turn[0] for turn in turns),
            one.start_up_seconds,
            one.message,
        )
        for place, one in enumerate(contestants)
    ]
