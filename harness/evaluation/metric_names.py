"""Names, titles and directions of the metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricName:
    """What a metric is called.

    Attributes:
        title: In tables.
        higher_is_better: False where less is better.
    """

    title: str
    higher_is_better: bool = True


METRIC_NAMES = {
    "p_arp_slide": MetricName("P_arp by slide"),
    "p_arp_accession": MetricName("P_arp by accession"),
    "p_img": MetricName("P_img"),
    "balanced_accuracy": MetricName("balanced accuracy"),
    "auc": MetricName("AUC"),
    "auprc": MetricName("AUPRC"),
    "sensitivity": MetricName("sensitivity"),
    "specificity": MetricName("specificity"),
    "brier": MetricName("Brier score", higher_is_better=False),
    "ece": MetricName("calibration error", higher_is_better=False),
}
"""By the key in ``cell.json``, in the order of table 3."""


def title_of(metric: str) -> str:
    """Return a metric's title."""
    return METRIC_NAMES[metric].title
