"""Plan of shared features: which cells would make the same features of the same images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from harness.planning.cell_images import CellImages
from harness.planning.plan import Run
from harness.plugin_api.model import Throughput
from harness.protocol.names import TRAIN
from harness.store.cells import Cell
from harness.training.batches import views_shown

_WORTH_SECONDS = 20.0
"""What sharing must save: a set costs a few processes that load the network, and room on the disk."""


@dataclass(frozen=True)
class PlannedSet:
    """Features that cells of a model have in common.

    Attributes:
        cells: Of one model and stratum, whose images became pixels in the same way.
        images: The images of all of them, each file once.
        views: Views of each image.
        size: In bytes.
        seconds: What making them takes, one image after the other.
        saved_seconds: What it would take beyond that, if every cell made its own.
    """

    cells: tuple[Cell, ...]
    images: pd.DataFrame
    views: int
    size: int
    seconds: float
    saved_seconds: float


def plan_features(run: Run, cells: Iterable[Cell], speeds: Mapping[str, Throughput | None]) -> list[PlannedSet]:
    """Group cells that share features, where that saves time and the config does not turn it off.

    Args:
        run: The prepared run.
        cells: To compute.
        speeds: Of each model alone on the device, by label.
    """
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells if run.config.features_gb else ():
        speed = speeds.get(cell.label)
        if speed is not None and speed.features_per_second is not None:
            pixels = run.decoded.pixel_key(cell.seed, cell.fold)
            groups.setdefault((cell.label, cell.stratum, pixels), []).append(cell)
    images = CellImages(run.division)
    planned = [_planned(run, images, group, speeds[group[0].label]) for group in groups.values() if len(group) > 1]
    return [one for one in planned if one is not None and one.saved_seconds > _WORTH_SECONDS]


def _planned(run: Run, images: CellImages, cells: list[Cell], speed: Throughput | None) -> PlannedSet | None:
    if speed is None or speed.features_per_second is None or speed.feature_bytes is None:
        return None
    views = views_shown(run.config.schedule.augmentation)
    rows = [images.rows(cell) for cell in cells]
    alone = sum(len(one) + (views - 1) * int((one["side"] == TRAIN).sum()) for one in rows)
    distinct = pd.concat(rows).drop_duplicates("sha256").sort_values("sha256", ignore_index=True)
    shared = len(distinct) * views
    return PlannedSet(
        tuple(cells),
        distinct,
        views,
        shared * speed.feature_bytes,
        shared / speed.features_per_second,
        (alone - shared) / speed.features_per_second,
    )
