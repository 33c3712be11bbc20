"""Estimate of a run's time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from tabulate import tabulate

from harness.cache import Cache
from harness.errors import CellError
from harness.execution.feature_plan import PlannedSet, plan_features
from harness.execution.measurements import StudyMeasurements, model_key
from harness.execution.throughput import measure_model
from harness.planning.cell_images import CellImages
from harness.planning.plan import Run
from harness.planning.staleness import pending_cells
from harness.plugin_api.model import Throughput
from harness.plugin_api.schedule import Schedule
from harness.protocol.fingerprint import split_fingerprint
from harness.protocol.names import SIDES
from harness.store.cells import Cell
from harness.store.run_store import RunStore
from harness.text import duration
from harness.training.cost import training_seconds
from harness.workers.messages import Failure, Measured


@dataclass(frozen=True)
class ModelEstimate:
    """One model's share.

    Attributes:
        label: The model.
        cells: To compute.
        images_per_second: Of training steps; None for a model that does not train in steps.
        features_per_second: Of what frozen layers make once; None where they make nothing.
        seconds: Of all its cells, one after the other, with what they share; None for a model that does not train in
            steps.
        pretraining_seconds: Of each stage that the cache does not hold, by its key; models share stages.
        memory_mb: Of a cell.
    """

    label: str
    cells: int
    images_per_second: float | None
    features_per_second: float | None
    seconds: float | None
    pretraining_seconds: Mapping[str, float]
    memory_mb: float


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        models: One entry a model.
        fingerprint: Of the splits.
        cells: To compute, and kept.
        kept: Cells that are done and valid.
        image_mb: Largest set of decoded images that a cell holds in the device's memory.
        feature_mb: What features that cells share take in the cache.
        features_too_large: Whether more would be shared if the config allowed more room.
        jobs: Cells at once.
    """

    models: list[ModelEstimate]
    fingerprint: str
    cells: int
    kept: int
    image_mb: float
    feature_mb: float
    features_too_large: bool
    jobs: int

    @property
    def seconds(self) -> float:
        """Of all models whose time is known, cells spread over the jobs; other cells wait for a stage."""
        cells = sum(model.seconds or 0 for model in self.models) / self.jobs
        stages = {key: seconds for model in self.models for key, seconds in model.pretraining_seconds.items()}
        return cells + sum(stages.values())


def estimate_run(run: Run, store: RunStore, cache: Cache, jobs: int, study: StudyMeasurements) -> Estimate:
    """Time each model's training steps and extrapolate; nothing is trained or written.

    Args:
        run: The prepared run.
        store: Its folder.
        cache: The cache.
        jobs: Cells at once.
        study: Gives what was measured for an earlier run, and takes what is measured now.

    Raises:
        CellError: A model cannot be made or timed.
    """
    todo = pending_cells(run.keys, store.read_cells())
    images = CellImages(run.division)
    sizes = {cell: _sizes(images, cell) for cell in todo}
    pixels = 3 * run.config.pixels.size**2
    measured = {label: _measured(run, label, cache, study) for label in dict.fromkeys(cell.label for cell in todo)}
    planned = plan_features(run, todo, {label: one.throughput for label, one in measured.items()})
    shared = _that_fit(planned, run.config.features_gb * 1e9)
    models = [
        _estimate_model(
            label,
            one,
            run.config.schedule,
            {cell: size for cell, size in sizes.items() if cell.label == label},
            [features for features in shared if features.cells[0].label == label],
        )
        for label, one in measured.items()
    ]
    largest = max((sum(size) for size in sizes.values()), default=0)
    fingerprint = split_fingerprint(run.division.splits)
    return Estimate(
        models,
        fingerprint,
        len(todo),
        len(run.keys) - len(todo),
        largest * pixels / 1e6,
        sum(one.size for one in shared) / 1e6,
        len(shared) < sum(one.is_worth_making for one in planned),
        jobs,
    )


def render_estimate(estimate: Estimate) -> str:
    """Return the estimate as text."""
    rows = [
        [
            model.label,
            model.cells,
            _number(model.images_per_second),
            _number(model.features_per_second),
            "-" if model.seconds is None else duration(model.seconds),
            duration(sum(model.pretraining_seconds.values())) if model.pretraining_seconds else "-",
            f"{model.memory_mb:,.0f}",
        ]
        for model in estimate.models
    ]
    head = ["model", "cells", "images/s", "features/s", "time", "pre-training", "memory (MB)"]
    table = tabulate(rows, headers=head, tablefmt="pipe", disable_numparse=True)
    features = (
        f"Features of frozen layers, made once for all cells, take {estimate.feature_mb:,.0f} MB in the cache. "
        if estimate.feature_mb
        else ""
    ) + ("Features of other cells do not fit into features_gb. " if estimate.features_too_large else "")
    return (
        f"{estimate.cells} cells to compute, {estimate.kept} kept; splits {estimate.fingerprint[:16]}\n\n{table}\n\n"
        f"Decoded images of the largest cell: {estimate.image_mb:,.0f} MB. {features}With {estimate.jobs} at once "
        f"about {duration(estimate.seconds)} in all, with pre-training (computed once) and without models that do not "
        "train in steps (-).\n"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _that_fit(planned: list[PlannedSet], limit: float) -> list[PlannedSet]:
    """Return the sets that a run will make, in its order."""
    fitting: list[PlannedSet] = []
    for one in planned:
        if one.is_worth_making and sum(other.size for other in fitting) + one.size <= limit:
            fitting.append(one)
    return fitting


def _measured(run: Run, label: str, cache: Cache, study: StudyMeasurements) -> Measured:
    key = model_key(run, label, cache)
    if key not in study.estimates:
        study.estimates[key] = _measured_now(run, label, cache)
    return study.estimates[key]


def _measured_now(run: Run, label: str, cache: Cache) -> Measured:
    log = cache.folder / "logs" / "dry-run.log"
    measured = measure_model(run, label, cache, log, with_pretraining=True)
    if not isinstance(measured, Measured):
        reason = measured.reason if isinstance(measured, Failure) else "no answer"
        raise CellError(f"model '{label}' cannot be trained: {reason} - leave it out with --models, or see {log}")
    return measured


def _estimate_model(
    label: str, measured: Measured, schedule: Schedule, sizes: dict[Cell, tuple[int, ...]], shared: list[PlannedSet]
) -> ModelEstimate:
    speed, memory = measured.throughput, measured.peak_memory_bytes / 1e6
    if speed is None:
        return ModelEstimate(label, len(sizes), None, None, None, {}, memory)
    on_features = {cell for one in shared for cell in one.cells}
    predicted = inf if schedule.prediction_views == 1 else speed.predictions_per_second  # views of features are six
    behind = replace(speed, features_per_second=inf, predictions_per_second=predicted)
    seconds = [_cell_seconds(behind if cell in on_features else speed, schedule, size) for cell, size in sizes.items()]
    return ModelEstimate(
        label,
        len(sizes),
        speed.images_per_second,
        speed.features_per_second,
        sum(seconds) + sum(one.seconds for one in shared),
        measured.pretraining_seconds,
        memory,
    )


def _cell_seconds(speed: Throughput, schedule: Schedule, sizes: tuple[int, ...]) -> float:
    """Training, and in the end validation and test images through the whole network."""
    train, validation, test = sizes
    predicted = (validation + test) * schedule.prediction_views
    return training_seconds(speed, schedule, train, validation) + predicted / speed.predictions_per_second


def _sizes(images: CellImages, cell: Cell) -> tuple[int, ...]:
    """Images to train on, to validate on and to test."""
    counts = images.counts(cell)
    return tuple(counts[side] for side in SIDES)
