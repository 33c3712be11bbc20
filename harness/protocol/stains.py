"""Stain normalisers fitted on several images of a fold, never across its sides."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.data.stain import Macenko, StainNormaliser, StainProfile, median_profile
from harness.protocol.names import TRAIN


def by_slide(images: pd.DataFrame) -> dict[str, StainNormaliser]:
    """Make a normaliser for every image from the pictures of its slide that share its stratum and side.

    Args:
        images: One row an image: ``sha256 subgroup stratum side profile``; profiles from
            :func:`~harness.data.stain.estimate_profile`.

    Returns:
        By sha256; images without a side, or on slides that show no stains, are missing.
    """
    normalisers: dict[str, StainNormaliser] = {}
    for _, pictures in images.groupby(["subgroup", "stratum", "side"]):
        if known := _known(pictures["profile"]):
            normalisers |= dict.fromkeys(pictures["sha256"], Macenko(own=median_profile(known)))
    return normalisers


def fitted_on_training(images: pd.DataFrame) -> dict[str, StainNormaliser]:
    """Make the normaliser whose reference is the median of the training images' stains, painted on published white.

    Args:
        images: As :func:`by_slide` takes them.

    Raises:
        ValueError: No training image shows stains.
    """
    fitted = median_profile(_known(images.loc[images["side"] == TRAIN, "profile"]))
    reference = StainProfile(fitted.vectors, fitted.maximum)
    return dict.fromkeys(images["sha256"], Macenko(reference))


def _known(profiles: pd.Series[Any]) -> list[StainProfile]:
    return [profile for profile in profiles if isinstance(profile, StainProfile)]
