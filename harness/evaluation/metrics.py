"""What a set of predictions is worth.

A *prediction table* has one row an image, with at least ``slide accession type label predicted p_malignant``, and
``fold`` and ``seed`` where several are pooled. All figures lie between 0 and 1; of the Brier score and the expected
calibration error less is better.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

Metrics = dict[str, float | None]
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


METRICS: dict[str, Callable[[pd.DataFrame], float | None]] = {
    "p_img": image_recognition_rate,
    "p_arp_slide": lambda table: patient_recognition_rate(table, cases(table)),
    "p_arp_accession": lambda table: patient_recognition_rate(table, table["accession"]),
    "balanced_accuracy": balanced_accuracy,
    "auc": area_under_curve,
    "auprc": average_precision,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "brier": brier_score,
    "ece": expected_calibration_error,
}


def measure(predictions: pd.DataFrame) -> Metrics:
    """Compute every metric of one prediction table."""
    return {name: metric(predictions) for name, metric in METRICS.items()}


def measure_pooled(predictions: pd.DataFrame, *, cross_validated: bool) -> Metrics:
    """Compute every metric over folds and seeds.

    Cross-validation: predictions are pooled over the folds of a seed, then the seeds are averaged. Hold-outs: the mean
    over folds and seeds. Areas under curves are always the mean over folds, since scores of different networks are not
    on one scale.
    """
    by_fold = [measure(fold) for _, fold in predictions.groupby(["seed", "fold"])]
    if not cross_validated:
        return _mean(by_fold)
    by_seed = [measure(seed) for _, seed in predictions.groupby("seed")]
    ranked = _mean(by_fold)
    return {**_mean(by_seed), "auc": ranked["auc"], "auprc": ranked["auprc"]}


def _correct(predictions: pd.DataFrame) -> pd.Series[bool]:
    return predictions["predicted"] == predictions["label"]


def _recall(predictions: pd.DataFrame, label: int) -> float | None:
    of_class = predictions[predictions["label"] == label]
    return float(_correct(of_class).mean()) if len(of_class) else None


def _mean(results: list[Metrics]) -> Metrics:
    """Mean of each metric over the results that have it."""
    table = pd.DataFrame(results, dtype=float)
    return {name: None if pd.isna(value) else float(value) for name, value in table.mean().items()}
