"""Intervals for the full matrix: five models at four magnifications, all official images, 2,000 draws of patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from breakhis import PROTOCOLS

from harness.evaluation.bootstrap import DRAWS, Interval, bootstrap_interval, draw_patients
from harness.evaluation.estimators import estimators
from harness.protocol.names import TEST
from harness.protocol.protocols import split_images

MODELS = 5


@pytest.fixture(scope="module")
def tested(official_images: pd.DataFrame) -> list[list[pd.DataFrame]]:
    """Return every model's test images by magnification, with scores that are right most of the time."""
    splits = split_images(PROTOCOLS["accession-5fold"], official_images, (0,))
    fold = splits[splits["side"] == TEST].set_index("image")["fold"]
    images = official_images.assign(fold=official_images["name"].map(fold), seed=0)
    random = np.random.default_rng(0)
    return [[_scored(group, random) for _ in range(MODELS)] for _, group in images.groupby("stratum")]


def test_intervals(timed, tested: list[list[pd.DataFrame]]):
    def work() -> list[Interval]:
        intervals = []
        for models in tested:
            patients = draw_patients(models[0], DRAWS)
            for table in models:
                made = estimators(table, patients.groups, cross_validated=True)
                intervals += [bootstrap_interval(estimator, patients) for estimator in made.values()]
        return intervals

    intervals = timed(work, rounds=6)
    assert all(interval.low < interval.value < interval.high for interval in intervals)


def _scored(images: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    scores = random.beta(1 + 2 * images["label"], 3 - 2 * images["label"])
    return images.assign(p_1=scores, predicted=(scores > 0.5).astype(int))
