"""What a run will take, from the speed of each model on this very device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from harness.data.augment import VIEWS
from harness.execution.alone import measure_speed
from harness.execution.cells import Cell, cell_rows
from harness.execution.plan import Run, pending_cells
from harness.execution.store import RunStore
from harness.protocol.fingerprint import split_fingerprint
from harness.protocol.protocols import TRAIN
from harness.text import duration

_EVALUATION_SHARE = 1 / 3  # of a training step's time, per image: the forward pass alone


@dataclass(frozen=True)
class ModelEstimate:
    """One model's share; seconds is None for a model that does not train in steps, and excludes pre-training."""

    label: str
    cells: int
    images_per_second: float | None
    seconds: float | None
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
        jobs: Cells at once.
    """

    models: list[ModelEstimate]
    fingerprint: str
    cells: int
    kept: int
    image_mb: float
    jobs: int

    @property
    def seconds(self) -> float:
        """Of all models whose time is known, spread over the jobs."""
        return sum(model.seconds or 0 for model in self.models) / self.jobs


def estimate_run(run: Run, store: RunStore, cache: Path, jobs: int) -> Estimate:
    """Time each model's training steps and extrapolate; nothing is trained or written."""
    todo = pending_cells(run.keys, store.read_cells())
    sizes = {cell: _sizes(run, cell) for cell in todo}
    pixels = 3 * run.config.pixels.size**2
    models = [
        _estimate_model(run, label, {cell: size for cell, size in sizes.items() if cell.label == label}, cache)
        for label in dict.fromkeys(cell.label for cell in todo)
    ]
    largest = max((total for _, total in sizes.values()), default=0)
    fingerprint = split_fingerprint(run.division.splits)
    return Estimate(models, fingerprint, len(todo), len(run.keys) - len(todo), largest * pixels / 1e6, jobs)


def render_estimate(estimate: Estimate) -> str:
    """Return the estimate as text."""
    rows = [
        [
            model.label,
            model.cells,
            "-" if model.images_per_second is None else f"{model.images_per_second:,.1f}",
            "-" if model.seconds is None else duration(model.seconds),
            f"{model.memory_mb:,.0f}",
        ]
        for model in estimate.models
    ]
    head = ["model", "cells", "images/s", "time", "memory (MB)"]
    table = tabulate(rows, headers=head, tablefmt="pipe", disable_numparse=True)
    return (
        f"{estimate.cells} cells to compute, {estimate.kept} kept; splits {estimate.fingerprint[:16]}\n\n{table}\n\n"
        f"Decoded images of the largest cell: {estimate.image_mb:,.0f} MB. With {estimate.jobs} at once about "
        f"{duration(estimate.seconds)} in all, pre-training and models without steps (-) not counted.\n"
    )


def _estimate_model(run: Run, label: str, sizes: dict[Cell, tuple[int, int]], cache: Path) -> ModelEstimate:
    measured = measure_speed(run, label, cache, cache / "logs" / "dry-run.log")
    speed, schedule = measured.images_per_second, run.config.schedule
    views = len(VIEWS) if schedule.augmentation == "sixfold" else 1
    work = [train * views + (total - train) * _EVALUATION_SHARE for train, total in sizes.values()]
    seconds = float(np.sum(work)) * schedule.epochs / speed if speed else None
    return ModelEstimate(label, len(sizes), speed, seconds, measured.peak_memory_bytes / 1e6)


def _sizes(run: Run, cell: Cell) -> tuple[int, int]:
    """Images to train on, and images in all."""
    rows = cell_rows(run.division, cell)
    return int((rows["side"] == TRAIN).sum()), len(rows)
