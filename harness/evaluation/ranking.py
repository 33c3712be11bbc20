"""Areas under the curves of a ranking: ROC and precision-recall."""

from __future__ import annotations

import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.evaluation.metrics import class_columns, is_binary


def area_under_curve(predictions: pd.DataFrame) -> float | None:
    """Area under the receiver operating characteristic; None where a class is missing.

    Of two classes that of ``p_1``; of more the mean over classes of each against the others.
    """
    labels, columns = predictions["label"], class_columns(predictions)
    if labels.nunique() < max(2, len(columns)):
        return None
    if is_binary(predictions):
        return float(roc_auc_score(labels, predictions["p_1"]))
    areas = [roc_auc_score(labels == label, predictions[column]) for label, column in enumerate(columns)]
    return float(sum(areas) / len(areas))


def average_precision(predictions: pd.DataFrame) -> float | None:
    """Area under the precision-recall curve of ``p_1`` as a sum of steps.

    A model that knows nothing has the share of positive images, not 0.5. None where a class is missing, and for more
    than two classes.
    """
    if predictions["label"].nunique() < 2 or not is_binary(predictions):
        return None
    area = float(average_precision_score(predictions["label"], predictions["p_1"]))
    return min(1.0, area)  # the steps of a perfect ranking sum up to a last bit more
