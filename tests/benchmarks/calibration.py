"""The unit of all times: a fixed piece of work that no change to the harness can touch.

Arithmetic, interpreter and memory take part, which other processes slow down to different degrees. It is timed as the
Makefile has the benchmarks timed, in CPU time: waiting for a core is no work. Whoever changes it must save the baseline
anew.
"""

from __future__ import annotations

from functools import cache
from time import process_time

import numpy as np
from numpy.typing import NDArray

_MATRIX_SIDE = 512
_PRODUCTS = 2
_ITERATIONS = 400_000
_COPIES = 8
_COPIED_NUMBERS = 2 << 20  # 16 MiB, more than most caches hold


def calibration_seconds() -> float:
    """Do the work once, on as many threads as the caller allows, and return the CPU time it took."""
    matrix, source, target = _operands()
    started = process_time()
    for _ in range(_PRODUCTS):
        matrix @ matrix
    total = 0
    for number in range(_ITERATIONS):
        total += number % 7
    for _ in range(_COPIES):
        np.copyto(target, source)
    return process_time() - started


@cache
def _operands() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Made once, since new memory is paid for at its first touch."""
    return np.ones((_MATRIX_SIDE, _MATRIX_SIDE)), np.ones(_COPIED_NUMBERS), np.ones(_COPIED_NUMBERS)
