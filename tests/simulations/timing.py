"""Noise of calibrated speeds, measured from runs of the same models on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd

from harness.evaluation.changes import Change, cost_change, judge
from harness.reporting.learning_cost import variance_of_readings
from harness.reporting.results import Results

READINGS = 3
_MEDIAN_OF_THREE = 0.449  # variance of the median of three normal numbers, in units of theirs
_SAME = [1.0, 1.0]  # cells that cost the same in both runs


@dataclass(frozen=True)
class Timing:
    """Standard deviations of the logarithm of a calibrated speed.

    Attributes:
        reading: Between the readings of a run.
        run: Between runs, beyond what their readings explain.
    """

    reading: float
    run: float

    def draw(self, random: np.random.Generator) -> list[float]:
        """Return the readings of a run of a network whose speed is 1."""
        run = self.run * random.normal()
        return sorted(np.exp(run + self.reading * random.normal(size=READINGS)))


def readings_of(runs: Sequence[Results]) -> pd.DataFrame:
    """Return the readings of every model of every run: ``run model readings``."""
    rows = [
        (number, label, found.calibrated_readings)
        for number, results in enumerate(runs)
        for label in results.labels
        if (found := results.cells_of(label)[0].timings) and len(found.calibrated_readings) == READINGS
    ]
    return pd.DataFrame(rows, columns=["run", "model", "readings"])


def measure_timing(table: pd.DataFrame) -> Timing:
    """Split what differs between readings of the same model into readings and runs."""
    logs = table["readings"].map(np.log)
    reading = float(np.mean([np.var(values, ddof=1) for values in logs]))
    between = float(logs.map(np.median).groupby(table["model"]).var().mean())
    return Timing(reading**0.5, max(0.0, between - _MEDIAN_OF_THREE * reading) ** 0.5)


def judged_pairs(table: pd.DataFrame, slower: float, margin: float) -> tuple[int, int]:
    """Judge all ordered pairs of the runs themselves, one model in the second of them slower than it was.

    Args:
        table: From :func:`readings_of`.
        slower: By what; 1 for not at all.
        margin: Logarithm of the change that does not matter.

    Returns:
        How often that model was called worse, and of how many.
    """
    by_run = [dict(zip(part["model"], part["readings"], strict=True)) for _, part in table.groupby("run")]
    called = [_is_worse(base, new, label, slower, margin) for base, new in permutations(by_run, 2) for label in base]
    return sum(called), len(called)


def timed_change(costs: Sequence[Sequence[float]], readings: Sequence[Sequence[float]]) -> Change:
    """Compare calibrated costs of two runs, as the comparison does.

    Args:
        costs: Images of every cell, in both runs.
        readings: Speeds, in both runs.
    """
    base, new = (list(np.asarray(one) / np.median(speeds)) for one, speeds in zip(costs, readings, strict=True))
    return cost_change(base, new, sum(variance_of_readings(speeds) for speeds in readings))


def _is_worse(base: dict, new: dict, slow: str, slower: float, margin: float) -> bool:
    slowed = {label: list(np.asarray(speeds) / (slower if label == slow else 1.0)) for label, speeds in new.items()}
    changes = [timed_change([_SAME, _SAME], [base[label], slowed[label]]) for label in base]
    return judge(changes, [margin] * len(changes))[list(base).index(slow)].verdict == "worse"
