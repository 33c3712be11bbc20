"""Every metric of a cell's predictions."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from harness.evaluation.metrics import (
    balanced_accuracy,
    brier_score,
    cases,
    expected_calibration_error,
    image_recognition_rate,
    patient_recognition_rate,
    sensitivity,
    specificity,
)
from harness.evaluation.ranking import area_under_curve, average_precision

Metrics = dict[str, float | None]

METRICS: dict[str, Callable[[pd.DataFrame], float | None]] = {
    "p_img": image_recognition_rate,
    "p_arp_subgroup": lambda table: patient_recognition_rate(table, cases(table)),
    "p_arp_group": lambda table: patient_recognition_rate(table, table["group"]),
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


def _mean(results: list[Metrics]) -> Metrics:
    """Mean of each metric over the results that have it."""
    table = pd.DataFrame(results, dtype=float)
    return {name: None if pd.isna(value) else float(value) for name, value in table.mean().items()}
