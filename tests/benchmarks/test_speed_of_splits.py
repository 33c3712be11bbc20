"""Dividing the official images by patient, and proving that nobody stands on two sides."""

from __future__ import annotations

import pandas as pd
from breakhis import PROTOCOLS

from harness.protocol.leak_gate import find_leak
from harness.protocol.protocols import split_images

PROTOCOL = PROTOCOLS["accession-5fold"]


def test_split(timed, official_images: pd.DataFrame):
    splits = timed(split_images, PROTOCOL, official_images, (0,))
    assert len(splits) == len(PROTOCOL.folds) * len(official_images)


def test_gate(timed, official_images: pd.DataFrame):
    splits = split_images(PROTOCOL, official_images, (0,))
    accessions = official_images.set_index("name")["group"]
    assert timed(find_leak, "group", splits, accessions) is None
