"""Reading a run folder, and tables of a run with 10,000 cells."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product

import pandas as pd
import pytest
from breakhis import BREAKHIS

from harness import ModelCard
from harness.config.run_config import ModelSettings, RunConfig
from harness.data.manifest import COLUMNS, USED
from harness.evaluation.convergence import Convergence
from harness.evaluation.metric_names import METRIC_NAMES
from harness.execution.cell_results import HISTORY_COLUMNS, done_record
from harness.plugin_api.schedule import FINAL_STAGE
from harness.protocol.names import TEST, TRAIN, VALIDATION
from harness.reporting.paper_tables import table_4, table_5
from harness.reporting.results import Results, read_results
from harness.store.cells import Cell
from harness.store.run_store import RunStore
from harness.store.schema import (
    SCHEMA_VERSION,
    SHARED_PARTS,
    ComparisonRecord,
    DoneRecord,
    ProtocolRecord,
    RunRecord,
)

MODELS = ("majority", "lbp-svm", "densenet", "densenet-se", "deep-transfer")
STRATA = ("40x", "100x", "200x", "400x")
FOLDS = tuple(range(5))
IMAGES = 3


def run_of(seeds: range) -> RunRecord:
    config = RunConfig(models={label: ModelSettings() for label in MODELS}, seeds=tuple(seeds), strata=BREAKHIS.strata)
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        name="many",
        config=config,
        data_set=BREAKHIS,
        strata=list(config.chosen_strata),
        protocol=ProtocolRecord(name="accession-5fold", title="", shared_groups=0, cross_validates=True),
        leaks=[],
        leaky=False,
        comparison=ComparisonRecord(
            protocol="accession-5fold",
            group="group",
            data_set="breakhis",
            classes=["benign", "malignant"],
            data_options={"slide_13412": "drop-dc"},
            seeds=list(seeds),
            folds=list(FOLDS),
            images="",
            splits="",
            on_damaged="stop",
            pixels={},
            schedule={},
            device_type="cpu",
            precision="float32",
            threads=1,
            limit=None,
        ),
        comparison_key="key",
        device={"type": "cpu"},
        versions={},
        git_commit=None,
    )


def record_of(cell: Cell) -> DoneRecord:
    card = ModelCard(
        parameters=7_000_000,
        trainable_parameters=7_000_000,
        weights_bytes=28_000_000,
        checkpoint_bytes=56_000_000,
        forward_flop=6 * 10**9,
        execution_mode="eager",
    )
    metrics = dict.fromkeys(METRIC_NAMES, 0.9)
    return done_record(
        {
            "state": "done",
            "model": cell.label,
            "plugin": {"model": cell.label, "distribution": "models 1.0"},
            "options": {},
            "stratum": cell.stratum,
            "fold": cell.fold,
            "seed": cell.seed,
            "key": "",
            "key_parts": dict.fromkeys(SHARED_PARTS, "same"),
            "comparison_key": "key",
            "device": {"type": "cpu"},
            "concurrency": 1,
            "versions": {"torch": "2", "numpy": "2"},
            "reproduces": None,
            "deviations": [],
            "is_shortcut": False,
            "metrics": metrics,
            "validation_metrics": metrics,
            "single_class": False,
            **asdict(card),
            "epochs": 20,
            "convergence": asdict(Convergence(7, 7000, 60.0 + cell.fold, 0.9)),
            "pretraining": [],
            "timings": {
                "fit_seconds": 200.0,
                "predict_seconds": 1.0,
                "cell_seconds": 210.0,
                "images_per_second_alone": 100.0,
                "calibration_seconds": 0.5,
                "calibration_version": 1,
            },
            "peak_memory_mb": 1.0,
        }
    )


def predictions_of(cell: Cell) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "side": [VALIDATION] + [TEST] * (IMAGES - 1),
            "image": [f"{cell.stratum}-{cell.fold}-{number}" for number in range(IMAGES)],
            "subgroup": "14-1A",
            "group": "14-1",
            "subtype": "A",
            "stratum": cell.stratum,
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
    return [Cell(*place) for place in product(MODELS, STRATA, FOLDS, seeds)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Return a run folder with the 100 cells of one seed."""
    store = RunStore(tmp_path_factory.mktemp("run"))
    with store.open_for_writing():
        tested = pd.concat(map(predictions_of, cells_of(range(1)))).drop_duplicates("image", ignore_index=True)
        empty = dict.fromkeys(("file", "facts", "sha256"), "") | {"size": 0, "state": USED}
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
