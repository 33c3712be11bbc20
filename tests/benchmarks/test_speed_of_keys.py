"""Keys of the cells of a run: images and sides are looked through once for all its models."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from breakhis import BREAKHIS

from harness.config.run_config import ModelSettings, RunConfig
from harness.planning.cell_keys import ModelIdentity, cell_keys, resolved
from harness.planning.splits import Division
from harness.protocol.protocols import find_protocol, split_images

MODELS, SEEDS = 25, (0, 1)


@pytest.fixture
def division(official_images: pd.DataFrame) -> Division:
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in official_images["name"]]
    images = official_images.assign(sha256=digests, state="used")
    models = {f"model-{number}": ModelSettings() for number in range(MODELS)}
    config = RunConfig(models=models, seeds=SEEDS, strata=BREAKHIS.strata, device="cpu")
    protocol = find_protocol("accession-5fold", BREAKHIS)
    splits = split_images(protocol, images, SEEDS)
    return Division(config, BREAKHIS, protocol, Path(), images, splits, leaks=[], shared_groups=0)


def test_keys(timed, division: Division):
    identities = {label: ModelIdentity("plugin", label, "nothing") for label in division.config.models}
    found = resolved(division.config, "cpu")
    assert len(timed(cell_keys, identities, division, found, rounds=6)) == 1000
