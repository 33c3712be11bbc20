"""Measurements of models, and those that the runs of a study share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from harness.cache import Cache
from harness.planning.plan import Run, job_of
from harness.store.keys import hash_of
from harness.workers.messages import Measured, ModelJob, PrefixFound


@dataclass(frozen=True)
class Speed:
    """The speed of a model alone on the device.

    Attributes:
        measured: The reading whose calibrated speed is the median of all.
        readings: Training images a second times the seconds of the calibration workload, of every reading.
        rounds: How many readings were asked for.
        measured_in: The earlier run of a study that took them; None for the run at hand.
    """

    measured: Measured
    readings: tuple[float, ...] = ()
    rounds: int = 1
    measured_in: str | None = None


@dataclass
class StudyMeasurements:
    """What runs of a study have found out of models, for the runs after them.

    It lies in the memory of one process: a run that stands alone, or is continued, measures for itself. Failures are
    not kept.

    Attributes:
        speeds: By :func:`model_key`.
        estimates: What estimates have measured, by the same.
        tried: The models that have passed their trial, by the same.
        concurrent: Training images a second of several cells at once, by what they train and how many they are.
        prefixes: Frozen first layers, by the model and the images on which they were tried.
    """

    speeds: dict[str, Speed] = field(default_factory=dict)
    estimates: dict[str, Measured] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    concurrent: dict[str, float] = field(default_factory=dict)
    prefixes: dict[str, PrefixFound] = field(default_factory=dict)


def model_key(run: Run, label: str, cache: Cache, pixels: str = "") -> str:
    """Hash all that an answer of a model's worker depends on, as long as this process and its machine are the same.

    That is the whole of what the worker is told, and the contents of what the model starts from. Neither sides nor
    protocol are part of it.

    Args:
        run: The prepared run.
        label: Of the model.
        cache: The cache.
        pixels: Hash of how the run's images became pixels, where the worker is given any.
    """
    job, model = job_of(run, label, cache, pixels), run.entry(label).registered
    told = {one.name: getattr(job, one.name) for one in fields(ModelJob) if one.name not in {"schedule", "sources"}}
    schedule = job.schedule.model_dump(mode="json")
    sources = {name: (rows.classes, rows.fingerprint, rows.pixels) for name, rows in job.sources.items()}
    return hash_of([label, str(model.reference), told, schedule, sources, run.starts[label].to_json()])


def model_keys(run: Run, labels: Iterable[str], cache: Cache) -> dict[str, str]:
    """Return :func:`model_key` of several models, by label."""
    return {label: model_key(run, label, cache) for label in labels}
