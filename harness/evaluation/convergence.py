"""When a run had converged, and what it had cost by then.

The paper reports convergence times without defining convergence. Here: validation balanced accuracy is smoothed by a
centred median over three epochs (truncated at the ends); the run has converged at the first epoch that comes within
0.01 of the best smoothed value it ever reaches. A run whose best stays below 0.55, or that calls every image the same,
has not converged: it is counted, never averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_TOLERANCE = 0.01
_NO_BETTER_THAN_CHANCE = 0.55


@dataclass(frozen=True)
class Convergence:
    """The point of convergence of one training run's last stage.

    Attributes:
        epochs: Epochs trained until then, the first epoch being 1.
        images: Images seen in training until then.
        train_seconds: Seconds of training until then, without validation.
        balanced_accuracy: The best smoothed validation balanced accuracy.
    """

    epochs: int
    images: int
    train_seconds: float
    balanced_accuracy: float


def find_convergence(history: pd.DataFrame, *, single_class: bool) -> Convergence | None:
    """Find where a run converged.

    Args:
        history: One row an epoch in order: ``epoch`` (from 1), ``validation_balanced_accuracy``, ``images_seen`` and
            ``train_seconds`` (both since the start of the stage).
        single_class: The finished model calls every validation image the same.

    Returns:
        None where the run has not converged.
    """
    if history.empty or single_class:
        return None
    smoothed = _median_of_three(history["validation_balanced_accuracy"].to_numpy(float))
    best = smoothed.max()
    if not best >= _NO_BETTER_THAN_CHANCE:
        return None
    row = history.iloc[int(np.argmax(smoothed >= best - _TOLERANCE))]
    return Convergence(int(row["epoch"]), int(row["images_seen"]), float(row["train_seconds"]), float(best))


def _median_of_three(values: NDArray[np.float64]) -> NDArray[np.float64]:
    smoothed: NDArray[np.float64] = pd.Series(values).rolling(3, center=True, min_periods=1).median().to_numpy()
    return smoothed
