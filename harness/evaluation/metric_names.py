"""Names, titles and directions of the metrics."""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.description import DataSetDescription


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
    "p_arp_subgroup": MetricName("P_arp by subgroup"),
    "p_arp_group": MetricName("P_arp by group"),
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


def title_of(metric: str, data_set: DataSetDescription) -> str:
    """Return a metric's title, in the words of a data set: ``P_arp by slide``."""
    words = {"p_arp_subgroup": data_set.subgroup, "p_arp_group": data_set.group}
    return f"P_arp by {words[metric]}" if metric in words else METRIC_NAMES[metric].title
