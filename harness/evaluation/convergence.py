"""Convergence of a training and its cost until then.

The paper reports convergence times without defining convergence. Two definitions serve here; neither depends on how
long a run goes on once it has stopped learning (results/statistics/convergence.md):

- *The point of convergence*, for table 5. A curve that rises from chance and saturates, chance + rise (1 - exp(-t /
  scale)), is fitted to validation balanced accuracy over epochs t; the run has converged where the curve has made 90 %
  of its rise. A run whose plateau (the mean of its last quarter) stays below 0.55 (of C classes: a tenth of the way
  from 1 / C to 1), that calls every image the same, or whose curve has not made 90 % of its rise by the end, has not
  converged: it is counted, never averaged.
- *The area over the training curve*, for the gate. How much training balanced accuracy an epoch falls short of a level,
  summed over the images of the epochs and divided by the level's distance from chance: so many images would a network
  see that learns nothing, and then everything at once. Training accuracy is a mean over all images of an epoch,
  so chance moves this area a fifth as much as anything that is read off validation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CHANCE = 0.5
"""Balanced accuracy of a network that knows nothing of two classes; of C classes it is 1 / C."""

_LEARNED = 0.1  # of the way from chance to all
_SHARE_OF_RISE = 0.9
_SHORTEST, _LONGEST, _SCALES = 0.2, 4.0, 800  # epochs, budgets, and how many time constants are tried between the two


@dataclass(frozen=True)
class Convergence:
    """The point of convergence of one training run's last stage.

    Attributes:
        epochs: Epochs trained until then, at least 1; between two epochs where the fitted curve says so.
        images: Images seen in training until then.
        train_seconds: Seconds of training to the end of the epoch it falls into, without validation.
        plateau: Validation balanced accuracy, mean of the last quarter of the epochs.
    """

    epochs: float
    images: float
    train_seconds: float
    plateau: float


def find_convergence(history: pd.DataFrame, *, single_class: bool, chance: float = CHANCE) -> Convergence | None:
    """Find where a run converged.

    Args:
        history: One row an epoch in order: ``validation_balanced_accuracy``, ``images_seen`` and ``train_seconds``
            (both since the start of the stage).
        single_class: The finished model calls every validation image the same.
        chance: Balanced accuracy of a network that knows nothing.

    Returns:
        None where the run has not converged.
    """
    if history.empty or single_class:
        return None
    values = history["validation_balanced_accuracy"].to_numpy(float)
    level = plateau(values)
    epochs = max(1.0, -np.log(1 - _SHARE_OF_RISE) * time_constant(values, chance))
    if not level >= least_plateau(chance) or epochs > len(values):  # a plateau that is no number is none either
        return None
    images = float(history["images_seen"].iloc[-1] / len(values) * epochs)
    seconds = float(history["train_seconds"].iloc[int(np.ceil(epochs)) - 1])
    return Convergence(float(epochs), images, seconds, level)


def least_plateau(chance: float = CHANCE) -> float:
    """Return the plateau below which nothing was learned: 0.55 of two classes."""
    return chance + _LEARNED * (1 - chance)


def plateau(values: NDArray[np.float64]) -> float:
    """Return the mean of the last quarter of a curve, of at least one value."""
    return float(values[-max(1, len(values) // 4) :].mean())


def time_constant(values: NDArray[np.float64], chance: float = CHANCE) -> float:
    """Fit chance + rise (1 - exp(-t / scale)) to a curve by least squares.

    Args:
        values: Balanced accuracies after epochs t = 1, 2, ...
        chance: Balanced accuracy of a network that knows nothing.

    Returns:
        The scale, in epochs: 0.2 to four times as many as there are values.
    """
    epochs = np.arange(1, len(values) + 1)
    scales = np.geomspace(_SHORTEST, _LONGEST * len(values), _SCALES)
    shapes = 1 - np.exp(-epochs / scales[:, None])  # (scales, epochs)
    rises = np.clip(shapes @ (values - chance) / (shapes**2).sum(1), 0, 1 - chance)
    errors = ((values - chance - rises[:, None] * shapes) ** 2).sum(1)
    return float(scales[np.argmin(errors)])


def area_over_curve(history: pd.DataFrame, level: float, chance: float = CHANCE) -> float:
    """Return the area over a training curve, in images.

    Args:
        history: One row an epoch in order: ``train_balanced_accuracy`` and ``images_seen``.
        level: The balanced accuracy that the curve is held against, above chance: the plateau of a reference run.
        chance: Balanced accuracy of a network that knows nothing.

    Returns:
        At most the whole budget; about 0 for a run that is at the level from the start.
    """
    shortfall = level - history["train_balanced_accuracy"].to_numpy(float)
    images = np.diff(history["images_seen"].to_numpy(float), prepend=0.0)
    return float((shortfall * images).sum() / (level - chance))
