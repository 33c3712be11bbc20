"""Classification metrics.

A *prediction table* has one row an image, with at least ``slide accession type label predicted p_malignant``, and
``fold`` and ``seed`` where several are pooled. All numbers lie between 0 and 1; of the Brier score and the expected
calibration error less is better.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

ECE_BINS = 10


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
    """Return each row's slide under its diagnosis: the 82 "cases" of the literature."""
    return predictions["type"] + " " + predictions["slide"]


def sensitivity(predictions: pd.DataFrame) -> float | None:
    """Share of the malignant images called malignant; None without any."""
    return _recall(predictions, 1)


def specificity(predictions: pd.DataFrame) -> float | None:
    """Share of the benign images called benign; None without any."""
    return _recall(predictions, 0)


def balanced_accuracy(predictions: pd.DataFrame) -> float | None:
    """Mean of sensitivity and specificity; None where a class is missing."""
    of_malignant, of_benign = sensitivity(predictions), specificity(predictions)
    return None if of_malignant is None or of_benign is None else (of_malignant + of_benign) / 2


def brier_score(predictions: pd.DataFrame) -> float:
    """Mean squared difference between ``p_malignant`` and the label (Brier 1950); 0 is perfect, 0.25 a coin's."""
    return float(((predictions["p_malignant"] - predictions["label"]) ** 2).mean())


def expected_calibration_error(predictions: pd.DataFrame) -> float:
    """How far probabilities are from frequencies (Naeini et al., AAAI 2015).

    ``p_malignant`` is cut into ten bins of equal width; the gap between the mean probability and the share of malignant
    images of each bin is averaged over images.
    """
    scores, labels = predictions["p_malignant"].to_numpy(float), predictions["label"].to_numpy(float)
    bins = np.minimum((scores * ECE_BINS).astype(int), ECE_BINS - 1)
    return float(np.abs(np.bincount(bins, scores - labels, ECE_BINS)).sum() / len(predictions))


def _correct(predictions: pd.DataFrame) -> pd.Series[bool]:
    return predictions["predicted"] == predictions["label"]


def _recall(predictions: pd.DataFrame, label: int) -> float | None:
    of_class = predictions[predictions["label"] == label]
    return float(_correct(of_class).mean()) if len(of_class) else None
