"""Reading a run folder, and tables of a run with 10,000 cells."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product
from typing import Any

import pandas as pd
import pytest

from harness import ModelCard
from harness.data.manifest import COLUMNS, USED
from harness.evaluation.convergence import Convergence
from harness.execution.cell_results import HISTORY_COLUMNS
from harness.plugin_api.schedule import FINAL_STAGE
from harness.protocol.names import TEST, TRAIN, VALIDATION
from harness.reporting.paper_tables import table_4, table_5
from harness.reporting.results import Results, read_results
from harness.store.cells import Cell
from harness.store.run_folder import DONE, SCHEMA_VERSION
from harness.store.run_store import RunStore

MODELS = ("majority", "lbp-svm", "densenet", "densenet-se", "deep-transfer")
MAGNIFICATIONS = (40, 100, 200, 400)
FOLDS = tuple(range(5))
IMAGES = 3


def run_of(seeds: range) -> dict[str, Any]:
    return {
        "comparison_key": "key",
        "comparison": {"folds": list(FOLDS), "slide_13412": "drop-dc", "limit": None},
        "config": {
            "models": {label: {} for label in MODELS},
            "magnifications": list(MAGNIFICATIONS),
            "seeds": list(seeds),
            "pixels": {"size": 224, "stain": "none"},
            "schedule": {
                "epochs": 20,
                "batch_size": 32,
                "learning_rate": 0.01,
                "augmentation": "none",
                "patience": None,
            },
            "limit": None,
            "data": {"phantom": {}},
        },
        "protocol": {"name": "accession-5fold", "title": "", "shared_accessions": 0, "cross_validates": True},
        "leaks": [],
        "leaky": False,
        "device": {"type": "cpu"},
    }


def record_of(cell: Cell) -> dict[str, Any]:
    card = ModelCard(
        parameters=7_000_000,
        trainable_parameters=7_000_000,
        weights_bytes=28_000_000,
        checkpoint_bytes=56_000_000,
        forward_flop=6 * 10**9,
        engine="eager",
    )
    return {
        "state": DONE,
        "model": cell.label,
        "plugin": {"model": cell.label, "distribution": "models 1.0"},
        "options": {},
        "magnification": cell.magnification,
        "fold": cell.fold,
        "seed": cell.seed,
        "reproduces": None,
        "comparison_key": "key",
        "key_parts": dict.fromkeys(("plugin", "options", "starts from", "training version"), "same"),
        "versions": {"torch": "2", "numpy": "2"},
        "epochs": 20,
        "convergence": asdict(Convergence(7, 7000, 60.0 + cell.fold, 0.9)),
        "pretraining": [],
        "schema_version": SCHEMA_VERSION,
        "deviations": [],
        "is_shortcut": False,
        "single_class": False,
        "metrics": (metrics := dict.fromkeys(("p_img", "p_arp_slide", "balanced_accuracy", "auc"), 0.9)),
        "validation_metrics": metrics,
        "timings": {
            "fit_seconds": 200.0,
            "cell_seconds": 210.0,
            "images_per_second_alone": 100.0,
            "features_per_second_alone": None,
            "calibration_seconds": 0.5,
        },
        **asdict(card),
    }


def predictions_of(cell: Cell) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "side": [VALIDATION] + [TEST] * (IMAGES - 1),
            "image": [f"{cell.magnification}-{cell.fold}-{number}" for number in range(IMAGES)],
            "slide": "14-1A",
            "accession": "14-1",
            "type": "A",
            "magnification": cell.magnification,
            "model": cell.label,
            "fold": cell.fold,
            "seed": cell.seed,
            "label": 0,
            "predicted": 0,
            "p_benign": 0.9,
            "p_malignant": 0.1,
        }
    )


def history_of(cell: Cell) -> pd.DataFrame:
    constant = dict.fromkeys((*HISTORY_COLUMNS, "train_seconds"), 0.5)
    named = {"stage": FINAL_STAGE, "epoch": range(1, 21), "images_seen": range(100, 2100, 100)}
    return pd.DataFrame({**constant, **named, "validation_balanced_accuracy": 0.9 - cell.fold / 50})


def cells_of(seeds: range) -> list[Cell]:
    return [Cell(*place) for place in product(MODELS, MAGNIFICATIONS, FOLDS, seeds)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Return a run folder with the 100 cells of one seed."""
    store = RunStore(tmp_path_factory.mktemp("run"))
    with store.open_for_writing():
        tested = pd.concat(map(predictions_of, cells_of(range(1)))).drop_duplicates("image", ignore_index=True)
        empty = dict.fromkeys(("file", "sha256"), "") | {"size": 0, "state": USED}
        splits = pd.concat([tested.assign(side=side) for side in (TRAIN, TEST)])
        manifest = tested.rename(columns={"image": "name"}).assign(**empty)
        store.write_run(run_of(range(1)), manifest[list(COLUMNS)], splits[["image", "fold", "seed", "side"]])
        for cell in cells_of(range(1)):
            saved = store.saving_folder(store.working_folder(cell.name))
            store.finish_cell(cell.name, saved, record_of(cell), predictions_of(cell), history_of(cell))
    return store


@pytest.fixture(scope="module")
def many(store: RunStore) -> Results:
    """Return what the folder of 100 seeds would hold; writing and reading that one would take minutes."""
    few, seeds = read_results(store), range(100)
    return replace(
        few,
        run=run_of(seeds),
        cells={cell.name: record_of(cell) for cell in cells_of(seeds)},
        predictions=pd.concat([few.predictions.assign(seed=seed) for seed in seeds], ignore_index=True),
    )


def test_reading(timed, store: RunStore):
    assert len(timed(read_results, store, rounds=10).cells) == 100


def test_table_of_sizes(timed, many: Results):
    assert len(many.cells) == 10_000
    assert len(timed(table_4, many).rows) == len(MODELS)


def test_table_of_convergence(timed, many: Results):
    assert len(many.cells) == 10_000
    assert len(timed(table_5, many).rows) == len(MODELS)
