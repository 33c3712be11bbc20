"""Timing of work on a device."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import torch

from harness.training.execution_modes import clock

_TIMES = 12
_MOST_SECONDS = 2.0


def median_seconds(work: Callable[[], object], device: torch.device, least_seconds: float, warm_ups: int = 1) -> float:
    """Time some work again and again, and return the median.

    Args:
        work: Is done a dozen times, less often where it is slow, but once at least beside the warm-ups.
        device: Of the work.
        least_seconds: How long to go on where it is fast: the median of a few milliseconds is mostly noise.
        warm_ups: Times at the beginning that do not count.
    """
    seconds: list[float] = []
    while (len(seconds) < _TIMES or sum(seconds) < least_seconds) and (
        len(seconds) <= warm_ups or sum(seconds) < _MOST_SECONDS
    ):
        started = clock(device)
        work()
        seconds.append(clock(device) - started)
    return median(seconds[warm_ups:])
