"""The operating threshold of two classes, chosen on validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DEFAULT_THRESHOLD = 0.5
_CELL = ["model", "stratum", "fold", "seed"]


def choose_threshold(predictions: pd.DataFrame) -> float:
    """Return the threshold on ``p_1`` of the best balanced accuracy (Youden 1950) on these images.

    Args:
        predictions: Validation images: ``label p_1``.

    Returns:
        A value between two neighbouring scores, 0 to 1; of equally good ones the nearest to 0.5. An image is called
        positive where its probability is at least this. 0.5 where a class is missing.
    """
    return _best_threshold(predictions["p_1"].to_numpy(float), predictions["label"].to_numpy() == 1)


def _best_threshold(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    if positive.all() or not positive.any():
        return DEFAULT_THRESHOLD
    candidates = _between(np.unique(scores))
    sensitivity = _share_at_least(scores[positive], candidates)
    specificity = 1 - _share_at_least(scores[~positive], candidates)
    # rounded, so that equally good thresholds are equal whatever the last bit says
    merit = np.round(sensitivity + specificity, 12)
    best = candidates[merit == merit.max()]
    return float(best[np.argmin(np.abs(best - DEFAULT_THRESHOLD))])


def chosen_thresholds(validation: pd.DataFrame) -> pd.Series[float]:
    """Choose the threshold of every cell on its own validation images.

    Args:
        validation: Of any number of cells: ``model stratum fold seed label p_1``.

    Returns:
        By model, stratum, fold and seed.
    """
    by_cell = validation.groupby(_CELL, observed=True)
    cells, images = by_cell.ngroup().to_numpy(), by_cell.size()
    order, ends = np.argsort(cells, kind="stable"), np.cumsum(images)[:-1]
    scores, labels = (np.split(validation[name].to_numpy()[order], ends) for name in ("p_1", "label"))
    chosen = [_best_threshold(own, label == 1) for own, label in zip(scores, labels, strict=True)]
    return pd.Series(chosen, images.index, name="threshold")


def decided_at(tested: pd.DataFrame, thresholds: pd.Series[float]) -> pd.DataFrame:
    """Decide test images anew, with ``threshold`` and ``predicted`` at the threshold of each one's cell.

    Args:
        tested: ``model stratum fold seed p_1``.
        thresholds: From :func:`chosen_thresholds`.
    """
    found = tested.join(thresholds, on=_CELL)
    return found.assign(predicted=(found["p_1"] >= found["threshold"]).astype(int))


def _between(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Midpoints of neighbouring scores, the ends 0 and 1, and 0.5 itself."""
    candidates = np.concatenate([[0.0, DEFAULT_THRESHOLD, 1.0], (scores[1:] + scores[:-1]) / 2])
    return np.unique(candidates)


def _share_at_least(scores: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    below = np.searchsorted(np.sort(scores), thresholds, side="left")
    shares: NDArray[np.float64] = 1 - below / len(scores)
    return shares
