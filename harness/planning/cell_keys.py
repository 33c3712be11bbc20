"""The cells of a run, their images, and the key of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.config.run_config import RunConfig
from harness.data.pixels import PIXEL_VERSION
from harness.planning.models import ModelEntry
from harness.planning.splits import Division
from harness.store.cells import Cell
from harness.store.keys import hash_of
from harness.training.version import TRAINING_VERSION


def plan_cells(entries: list[ModelEntry], config: RunConfig, folds: tuple[int, ...]) -> list[Cell]:
    """List the cells of a run, model by model."""
    return [
        Cell(entry.label, stratum, fold, seed)
        for entry in entries
        for seed in config.seeds
        for stratum in config.strata
        for fold in folds
    ]


def cell_rows(division: Division, cell: Cell) -> pd.DataFrame:
    """Return the images of a cell: the manifest's columns and ``side``, sorted by name."""
    splits = division.splits
    sides = splits[(splits["seed"] == cell.seed) & (splits["fold"] == cell.fold)].set_index("image")["side"]
    images = division.images
    images = images[images["stratum"] == cell.stratum]
    chosen = images.assign(side=images["name"].map(sides)).dropna(subset="side")
    return chosen.sort_values("name", ignore_index=True)


def key_parts(
    entry: ModelEntry, cell: Cell, rows: pd.DataFrame, config: RunConfig, inputs: Mapping[str, Any]
) -> dict[str, str]:
    """Hash everything that would change a cell's outcome, part by part.

    Args:
        entry: The model.
        cell: The cell.
        rows: Its images and their sides.
        config: The run's config.
        inputs: What the run found: ``execution_mode``, ``precision``, ``device_type``, and ``needs`` by label.

    Returns:
        A hash or short text a part; two cells of equal parts have equal outcomes.
    """
    content = rows["sha256"] + " " + rows["side"] + " " + rows["label"].astype(str)
    parts = {
        "plugin": f"{entry.registered.source} {entry.registered.distribution} {entry.registered.model.name}",
        "options": hash_of(entry.options),
        "starts from": hash_of(inputs["needs"][entry.label]),
        "images and sides": hashlib.sha256("\n".join(sorted(content)).encode()).hexdigest(),
        "pixels": hash_of([PIXEL_VERSION, config.pixels.model_dump()]),
        "schedule": hash_of(config.schedule.budget().model_dump()),
        "execution mode": str(inputs["execution_mode"]),
        "precision": str(inputs["precision"]),
        "device type": str(inputs["device_type"]),
        "threads": str(config.threads),
        "seed": str(cell.seed),
        "training version": str(TRAINING_VERSION),
    }
    return {name: part if len(part) < 64 else hash_of(part) for name, part in parts.items()}
