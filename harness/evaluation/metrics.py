"""Classification metrics.

A *prediction table* has one row an image, with at least ``group subgroup subtype label predicted`` and a probability
for each class in the order of the labels, ``p_0 p_1 ...``; ``fold`` and ``seed`` where several are pooled. All numbers
lie between 0 and 1; of the Brier score and the expected calibration error less is better.

With two classes the second is the positive one, and ``p_1`` says all. With more, balanced accuracy and AUC are means
over classes, and metrics of a positive class (sensitivity, specificity, AUPRC) and the calibration error are absent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

ECE_BINS = 10


def class_columns(predictions: pd.DataFrame) -> list[str]:
    """Return the columns of the classes' probabilities, in the order of the labels."""
    found = (name for name in predictions.columns if name.startswith("p_") and name.removeprefix("p_").isdigit())
    return sorted(found, key=lambda name: int(name.removeprefix("p_")))


def is_binary(predictions: pd.DataFrame) -> bool:
    """True for two classes."""
    return len(class_columns(predictions)) <= 2


def image_recognition_rate(predictions: pd.DataFrame) -> float:
    """P_img, eq. 3 of arXiv 2404.09226: correctly classified images / all images."""
    return float(_correct(predictions).mean())


def patient_recognition_rate(predictions: pd.DataFrame, patient: pd.Series[str]) -> float:
    """P_arp, eq. 1 and 2 of arXiv 2404.09226: the mean over patients of the share of a patient's images that are right.

    Args:
        predictions: A prediction table.
        patient: The patient of each row, however patients are told apart.
    """
    return float(_correct(predictions).groupby(patient).mean().mean())


def cases(predictions: pd.DataFrame) -> pd.Series[str]:
    """Return each row's subgroup, under its subtype if it has one: of BreakHis the 82 "cases" of the literature."""
    subtype, subgroup = predictions["subtype"], predictions["subgroup"]
    if isinstance(subgroup.dtype, pd.CategoricalDtype):
        return _paired(subtype.cat, subgroup.cat, predictions.index)
    return (subtype + " " + subgroup).str.strip()


def _paired(subtype: Any, subgroup: Any, index: pd.Index) -> pd.Series[Any]:
    """Join categories pair by pair: rows are many, pairs are few."""
    width = len(subgroup.categories)
    rows, pairs = pd.factorize(subtype.codes.to_numpy(np.int64) * width + subgroup.codes.to_numpy(np.int64))
    names = [f"{subtype.categories[pair // width]} {subgroup.categories[pair % width]}".strip() for pair in pairs]
    return pd.Series(pd.Categorical(names).take(rows), index)


def sensitivity(predictions: pd.DataFrame) -> float | None:
    """Share of the positive images called positive; None without any, and for more than two classes."""
    return _recall(predictions, 1) if is_binary(predictions) else None


def specificity(predictions: pd.DataFrame) -> float | None:
    """Share of the negative images called negative; None without any, and for more than two classes."""
    return _recall(predictions, 0) if is_binary(predictions) else None


def balanced_accuracy(predictions: pd.DataFrame) -> float | None:
    """Mean over classes of the share of a class's images that are right; None where a class is missing."""
    recalls = [_recall(predictions, label) for label in range(max(2, len(class_columns(predictions))))]
    known = [recall for recall in recalls if recall is not None]
    return sum(known) / len(known) if len(known) == len(recalls) else None


def brier_score(predictions: pd.DataFrame) -> float:
    """Mean squared difference between probabilities and what is the case, half the sum over classes (Brier 1950).

    With two classes that is the square of ``p_1`` minus the label; 0 is perfect, 0.25 a coin's.
    """
    columns, labels = class_columns(predictions), predictions["label"]
    if is_binary(predictions):
        return float(((predictions["p_1"] - labels) ** 2).mean())
    right = labels.to_numpy()[:, None] == np.arange(len(columns))
    return float(((predictions[columns].to_numpy(float) - right) ** 2).sum(1).mean() / 2)


def expected_calibration_error(predictions: pd.DataFrame) -> float | None:
    """How far probabilities are from frequencies (Naeini et al., AAAI 2015); None for more than two classes.

    ``p_1`` is cut into ten bins of equal width; the gap between the mean probability and the share of positive images
    of each bin is averaged over images.
    """
    if not is_binary(predictions):
        return None
    scores, labels = predictions["p_1"].to_numpy(float), predictions["label"].to_numpy(float)
    bins = np.minimum((scores * ECE_BINS).astype(int), ECE_BINS - 1)
    return float(np.abs(np.bincount(bins, scores - labels, ECE_BINS)).sum() / len(predictions))


def _correct(predictions: pd.DataFrame) -> pd.Series[bool]:
    return predictions["predicted"] == predictions["label"]


def _recall(predictions: pd.DataFrame, label: int) -> float | None:
    labels, predicted = predictions["label"].to_numpy(), predictions["predicted"].to_numpy()
    of_class = labels == label
    return float((predicted[of_class] == label).mean()) if of_class.any() else None
