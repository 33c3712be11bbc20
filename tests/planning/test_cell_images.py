"""The images of cells and their keys: found once for all models, and the same whichever cells are asked for."""

import hashlib
from dataclasses import replace

import pandas as pd
import pytest
from breakhis import BREAKHIS

from harness.config.run_config import ModelSettings, RunConfig
from harness.planning import cell_images
from harness.planning.cell_images import CellImages
from harness.planning.cell_keys import ModelIdentity, cell_keys, resolved
from harness.planning.splits import Division
from harness.protocol.protocols import find_protocol, split_images
from harness.store.cells import Cell
from harness.store.keys import hash_of

CELL = Cell("densenet", "200x", 1, 3)


def division_of(images: pd.DataFrame, models: int = 1, seeds: tuple[int, ...] = (0, 3)) -> Division:
    labels = [f"model-{number}" for number in range(models)]
    config = RunConfig(
        models={label: ModelSettings() for label in labels}, seeds=seeds, strata=BREAKHIS.strata, device="cpu"
    )
    protocol = find_protocol("accession-5fold", BREAKHIS)
    splits = split_images(protocol, images, seeds)
    return Division(config, BREAKHIS, protocol, images, images, splits, leaks=[], shared_groups=0)


@pytest.fixture(scope="module")
def few(official_images: pd.DataFrame) -> pd.DataFrame:
    """Every tenth official image, as a manifest holds them."""
    images = official_images.iloc[::10].reset_index(drop=True)
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in images["name"]]
    return images.assign(sha256=digests, state="used")


@pytest.fixture
def division(few: pd.DataFrame) -> Division:
    return division_of(few)


def keys_of(division: Division) -> dict[Cell, dict[str, str]]:
    identities = {label: ModelIdentity("plugin", label, "nothing") for label in division.config.models}
    return cell_keys(identities, division, resolved(division.config, "cpu"))


def test_rows_are_those_of_stratum_seed_and_fold(division: Division):
    rows, splits = CellImages(division).rows(CELL), division.splits
    there = splits[(splits["seed"] == 3) & (splits["fold"] == 1)].set_index("image")["side"]
    wanted = division.images[division.images["stratum"] == "200x"]
    assert list(rows["name"]) == sorted(wanted["name"])
    assert list(rows["side"]) == list(there[rows["name"]])


def test_images_on_no_side_are_left_out(division: Division):
    name = CellImages(division).rows(CELL)["name"].iloc[0]
    others = division.splits[division.splits["image"] != name]
    assert name not in set(CellImages(replace(division, splits=others)).rows(CELL)["name"])


def test_counts_by_side(division: Division):
    images = CellImages(division)
    assert images.counts(CELL) == images.rows(CELL)["side"].value_counts().to_dict()


def test_a_stratum_without_images_has_none(division: Division):
    assert CellImages(division).rows(Cell("densenet", "1000x", 0, 0)).empty


def test_keys_are_those_of_earlier_versions(division: Division):
    key = keys_of(division)[Cell("model-0", "200x", 1, 3)]
    rows = CellImages(division).rows(CELL)
    lines = [f"{row.sha256} {row.side} {row.label}" for row in rows.itertuples()]
    assert key["images and sides"] == hash_of(hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest())
    assert list(key) == [
        "plugin",
        "options",
        "starts from",
        "images and sides",
        "pixels",
        "schedule",
        "execution mode",
        "precision",
        "device type",
        "threads",
        "seed",
        "training version",
    ]


@pytest.mark.parametrize(("models", "seeds"), [(1, 2), (10, 2), (1, 4)])
def test_images_are_looked_through_once_for_all_models(
    few: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, models: int, seeds: int
):
    read: list[int] = []
    contents = cell_images._contents
    monkeypatch.setattr(cell_images, "_contents", lambda rows: read.append(len(rows)) or contents(rows))
    division = division_of(few, models, tuple(range(seeds)))
    assert len(keys_of(division)) == models * 4 * 5 * seeds
    assert sum(read) == seeds * 5 * len(division.images)  # each image once a seed and fold, whatever the models
