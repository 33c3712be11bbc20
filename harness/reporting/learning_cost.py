"""What learning cost in each cell of a model, in two runs that are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.evaluation.convergence import area_over_curve, least_plateau, plateau
from harness.reporting.cost import training_cost
from harness.reporting.results import Results
from harness.store.schema import DoneRecord

TIMING_DEVIATION = 0.1
"""Of the logarithm of a calibrated speed that is read once; on a busy machine of two cores it was 0.07."""

_LEAST_DEVIATION = 0.04  # of several readings: what disturbs a machine for the whole of a run disturbs them all
_FEWEST_READINGS = 3
_COST = ["images", "calibrated", "converged"]


def learning_costs(label: str, base: Results, new: Results) -> pd.DataFrame:
    """What learning cost in each cell of a model with epochs that both runs have, ``_new`` in the new run.

    Both runs' training curves are held against the plateau of the base's. A run that has learned nothing costs its
    whole budget.
    """
    rows = {}
    for name, cell in base.cells.items():
        other = new.cells.get(name)
        if cell.model != label or other is None or not (cell.epochs and other.epochs):
            continue
        curves = [(results.final_history(name), results.cells[name]) for results in (base, new)]
        budget = max(float(history["images_seen"].iloc[-1]) for history, _ in curves)
        levels = [_level(*curve, base.chance) for curve in curves]
        level = levels[0] or levels[1]
        rows[name] = [
            number
            for curve, own in zip(curves, levels, strict=True)
            for number in _cost_of(*curve, None if own is None else level, (budget, base.chance))
        ]
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*_COST, *(f"{name}_new" for name in _COST)])


def timing_variance(cells: Sequence[DoneRecord]) -> float:
    """Return the variance of the logarithm of a run's calibrated speed of a model, by its readings.

    Args:
        cells: Of the model; they share their readings, but for those whose speed was not measured.
    """
    readings = (cell.timings.calibrated_readings for cell in cells if cell.timings)
    return variance_of_readings(next(filter(None, readings), []))


def variance_of_readings(readings: Sequence[float]) -> float:
    """Return the variance of the logarithm of the median of calibrated speeds."""
    if len(readings) < _FEWEST_READINGS:
        return TIMING_DEVIATION**2
    # the median of a normal sample scatters by pi / 2 more than the mean
    scatter = math.pi / 2 * float(np.var(np.log(readings), ddof=1)) / len(readings)
    return max(scatter, _LEAST_DEVIATION**2)


def _level(history: pd.DataFrame, cell: DoneRecord, chance: float) -> float | None:
    """Return the plateau of a training curve; None where it is chance, or the network calls every image the same."""
    level = plateau(history["train_balanced_accuracy"].to_numpy(float))
    return level if level >= least_plateau(chance) and not cell.single_class else None


def _cost_of(
    history: pd.DataFrame, cell: DoneRecord, level: float | None, limits: tuple[float, float]
) -> tuple[float, float, bool]:
    """Return area over the training curve and images of features, their calibrated cost, and whether it converged.

    Args:
        history: Of the last stage.
        cell: The cell's record.
        level: That the curve is held against; None where the whole budget is the cost.
        limits: Images that the longer of the two runs has seen (one that stopped early stays at its plateau), and the
            balanced accuracy of a network that knows nothing.
    """
    budget, _ = limits
    cost = training_cost(cell, budget if level is None else _images_to_learn(history, level, *limits))
    return cost.images, math.nan if cost.calibrated is None else cost.calibrated, bool(cell.convergence)


def _images_to_learn(history: pd.DataFrame, level: float, budget: float, chance: float) -> float:
    """Return the area over the training curve to the end of the budget, an epoch's images at least."""
    seen = float(history["images_seen"].iloc[-1])
    short = max(0.0, level - plateau(history["train_balanced_accuracy"].to_numpy(float))) / (level - chance)
    return max(seen / len(history), area_over_curve(history, level, chance) + short * (budget - seen))
