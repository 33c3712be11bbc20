"""Plan of shared features: which cells would make the same features of the same images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from harness.planning.cell_images import CellImages
from harness.planning.plan import Run
from harness.plugin_api.model import Throughput
from harness.protocol.names import TEST, TRAIN, VALIDATION
from harness.store.cells import Cell
from harness.training.batches import views_shown

_WORTH_SECONDS = 20.0
"""What sharing must save: it costs a few processes that load the network, and room on the disk."""


@dataclass(frozen=True)
class PlannedSet:
    """Features that cells of a model have in common.

    Attributes:
        cells: Of one model and stratum, whose images became pixels in the same way.
        images: All images of the stratum, each file once, whichever of them the cells use: what a run computes today
            must not decide which set it looks for.
        views: Views of each image.
        size: In bytes.
        seconds: What making them takes, one image after the other.
        alone_seconds: What it takes if every cell makes its own.
        seconds_per_image: What an image costs a model, all views together.
    """

    cells: tuple[Cell, ...]
    images: pd.DataFrame
    views: int
    size: int
    seconds: float
    alone_seconds: float
    seconds_per_image: float

    @property
    def is_worth_using(self) -> bool:
        """Whether a set that is there already saves time."""
        return self.alone_seconds > _WORTH_SECONDS

    @property
    def is_worth_making(self) -> bool:
        """Whether a set saves time that has to be made first."""
        return self.alone_seconds - self.seconds > _WORTH_SECONDS


def plan_features(run: Run, cells: Iterable[Cell], speeds: Mapping[str, Throughput | None]) -> list[PlannedSet]:
    """Group cells that share features, where that may save time and the config does not turn it off.

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
    planned = [_planned(run, images, group, speeds[group[0].label]) for group in groups.values()]
    return [one for one in planned if one is not None and one.is_worth_using]


def _planned(run: Run, images: CellImages, cells: list[Cell], speed: Throughput | None) -> PlannedSet | None:
    if speed is None or speed.features_per_second is None or speed.feature_bytes is None:
        return None
    schedule = run.config.schedule
    views = views_shown(schedule.augmentation)
    passes = {TRAIN: views, VALIDATION: 1, TEST: int(schedule.prediction_views == 1)}
    alone = sum(passes[side] * count for cell in cells for side, count in images.counts(cell).items())
    of_stratum = run.division.images["stratum"] == cells[0].stratum
    distinct = run.division.images[of_stratum].drop_duplicates("sha256").sort_values("sha256", ignore_index=True)
    shown = len(distinct) * views
    return PlannedSet(
        tuple(cells),
        distinct,
        views,
        shown * speed.feature_bytes,
        shown / speed.features_per_second,
        alone / speed.features_per_second,
        views / speed.features_per_second,
    )
