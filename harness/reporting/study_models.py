"""The models of all runs of a study, under the same resamples of patients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from harness.evaluation.bootstrap import Interval, Patients, draw_patients
from harness.evaluation.changes import common_images
from harness.evaluation.metric_intervals import Resampled
from harness.reporting.numbers import bounds_text
from harness.reporting.results import Results
from harness.reporting.table import DASH


@dataclass(frozen=True)
class RunModel:
    """One model of one run at one stratum.

    Attributes:
        run: The run's name in the study.
        label: The model.
        stratum: The column of a table, such as ``200x``.
        predictions: Its test images.
        patients: Everyone whom any run tested at this stratum, and their draws.
        cross_validated: Predictions are pooled over folds.
    """

    run: str
    label: str
    stratum: str
    predictions: pd.DataFrame
    patients: Patients
    cross_validated: bool

    @cached_property
    def resampled(self) -> Resampled:
        """Its metrics under the draws."""
        return Resampled(self.predictions, self.patients, cross_validated=self.cross_validated)

    @cached_property
    def smallest_class(self) -> int:
        """How many groups of the smallest class it tested."""
        return self.patients.only(self.predictions["group"].unique()).smallest_class

    def value(self, metric: str) -> Interval:
        """Return a metric, as a fraction."""
        return self.resampled.interval(metric, self.smallest_class)

    def minus(self, other: RunModel, metric: str) -> Interval:
        """Return the difference to another model in a metric: the same draws of patients on both sides."""
        return self.resampled.minus(other.resampled, metric, min(self.smallest_class, other.smallest_class))

    def paired(self, other: RunModel) -> tuple[RunModel, RunModel] | None:
        """Return both on the images and cells that both tested; None where there are none."""
        ours, theirs = common_images(self.predictions, other.predictions)
        return (self._on(ours), other._on(theirs)) if len(ours) else None

    def _on(self, predictions: pd.DataFrame) -> RunModel:
        # nothing was left out: keep what is computed already
        return self if len(predictions) == len(self.predictions) else replace(self, predictions=predictions)


def run_models(runs: Mapping[str, Results], stratum: str) -> dict[tuple[str, str], RunModel]:
    """Gather what was tested at a stratum, by run and model, in the order of the runs and of their configs."""
    tested = {name: run.test[run.test["stratum"] == stratum] for name, run in runs.items()}
    patients = draw_patients(pd.concat(tested.values()))
    return {
        (name, label): RunModel(name, label, stratum, own, patients, run.cross_validated)
        for name, run in runs.items()
        for label in run.labels
        if len(own := tested[name][tested[name]["model"] == label])
    }


def heading(title: str, runs: Mapping[str, Results]) -> str:
    """Return a table's heading; it says so where patients stand on two sides in any of the runs."""
    return f"LEAKY - {title}" if any(run.run.leaky for run in runs.values()) else title


def missing_notes(runs: Mapping[str, Results]) -> list[str]:
    """Say how many planned cells each run lacks, if any."""
    return [f"{name}: {note}" for name, run in runs.items() for note in run.missing_notes()]


def interval_text(interval: Interval | None, sign: str = "") -> str:
    """Return an interval in %; ``sign`` is ``+`` for differences."""
    if interval is None or math.isnan(interval.value):
        return DASH
    value = f"{100 * interval.value:{sign}.1f}"
    return value if math.isnan(interval.low) else f"{value} {bounds_text(interval.low, interval.high, sign)}"


def interval_record(interval: Interval) -> dict[str, float | None]:
    """Return an interval for CSV and JSON: ``value low high`` as fractions, None where there is no such number."""
    bounds = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: None if math.isnan(bound) else bound for name, bound in bounds.items()}
