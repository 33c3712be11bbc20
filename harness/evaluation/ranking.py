"""Areas under the curves of a ranking: ROC and precision-recall."""

from __future__ import annotations

import pandas as pd
from sklearn import config_context
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.evaluation.metrics import class_columns, is_binary

_UNCHECKED = {"assume_finite": True, "skip_parameter_validation": True}  # half of the time, for a cell's few images


def area_under_curve(predictions: pd.DataFrame) -> float | None:
    """Area under the receiver operating characteristic; None where a class is missing.

    Of two classes that of ``p_1``; of more the mean over classes of each against the others.
    """
    labels, columns = predictions["label"].to_numpy(), class_columns(predictions)
    if len(set(labels.tolist())) < max(2, len(columns)):
        return None
    ranked = {1: "p_1"} if is_binary(predictions) else dict(enumerate(columns))
    with config_context(**_UNCHECKED):
        areas = [roc_auc_score(labels == label, predictions[name].to_numpy()) for label, name in ranked.items()]
    return float(sum(areas) / len(areas))


def average_precision(predictions: pd.DataFrame) -> float | None:
    """Area under the precision-recall curve of ``p_1`` as a sum of steps.

    A model that knows nothing has the share of positive images, not 0.5. None where a class is missing, and for more
    than two classes.
    """
    labels = predictions["label"].to_numpy()
    if len(set(labels.tolist())) < 2 or not is_binary(predictions):
        return None
    with config_context(**_UNCHECKED):
        area = float(average_precision_score(labels, predictions["p_1"].to_numpy()))
    return min(1.0, area)  # the steps of a perfect ranking sum up to a last bit more
