"""Areas under the curves of a ranking: ROC and precision-recall."""

from __future__ import annotations

import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score


def area_under_curve(predictions: pd.DataFrame) -> float | None:
    """Area under the receiver operating characteristic of ``p_malignant``; None where a class is missing."""
    if predictions["label"].nunique() < 2:
        return None
    return float(roc_auc_score(predictions["label"], predictions["p_malignant"]))


def average_precision(predictions: pd.DataFrame) -> float | None:
    """Area under the precision-recall curve of ``p_malignant`` as a sum of steps; None where a class is missing.

    A model that knows nothing has the share of malignant images, not 0.5.
    """
    if predictions["label"].nunique() < 2:
        return None
    return float(average_precision_score(predictions["label"], predictions["p_malignant"]))
