"""Training cost of a cell, alone on the device."""

from __future__ import annotations

from dataclasses import dataclass

from harness.store.schema import DoneRecord


@dataclass(frozen=True)
class Cost:
    """What it takes to train on so many images.

    Attributes:
        images: Those trained on, and those that frozen layers turned into features before, each view counted.
        seconds: At the speeds measured alone on the device; None where they were not.
        calibrated: The same in multiples of the calibration workload.
    """

    images: float
    seconds: float | None
    calibrated: float | None


def training_cost(cell: DoneRecord, images: float) -> Cost:
    """Return what a cell costs until it has trained on so many images.

    Features of a frozen part are made once, before the first step, so they count whole, whoever has made them.

    Args:
        cell: A finished cell's record.
        images: Trained on, without those that features were made of.
    """
    timings, features = cell.timings, cell.feature_images
    if timings is None:
        return Cost(images + (features or 0), None, None)
    speed, feature_speed = timings.images_per_second_alone, timings.features_per_second_alone
    # a speed measured on features is not that of a cell which kept none, nor the other way round
    if not speed or features is None or bool(features) != bool(feature_speed):
        return Cost(images + (features or 0), None, None)
    seconds = images / speed + (features / feature_speed if feature_speed else 0.0)
    unit = timings.calibration_seconds
    return Cost(images + features, seconds, seconds / unit if unit else None)
