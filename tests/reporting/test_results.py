"""What tables say of a run: the paper's numbers only beside its recipe, costs whole, shortcuts named, old runs read."""

import json
import shutil
import tarfile
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cache import Cache
from harness.evaluation.convergence import find_convergence
from harness.plugin_api.model import Throughput
from harness.plugin_api.schedule import Schedule
from harness.reporting.cost import training_cost
from harness.reporting.publish import publish
from harness.reporting.results import read_results
from harness.store import json_files, run_folder
from harness.store.run_folder import parse_cell
from harness.store.run_store import RunStore
from harness.store.schema import ConvergenceRecord
from harness.training.cost import training_seconds

VERSION_1 = Path(__file__).parents[1] / "store" / "fixtures" / "demo-schema-1.tar.xz"


@pytest.fixture(scope="module")
def made(finished):
    """A finished run of a plain network, a frozen one and two shortcuts."""
    models = (
        "models={majority: {}, white-point: {}, sharpness: {}, densenet: {options: {growth_rate: 4, "
        "block_config: [1, 1]}}, probe: {plugin: deep-transfer, options: {growth_rate: 4, block_config: [1, 1], "
        "reduction: null, natural: null, lung: {epochs: 1}, freeze: denseblock2}}}"
    )
    return finished("-o", models, "-o", "protocol=accession-5fold", "-o", "schedule.epochs=8")


def table(harness, run, number):
    return json.loads(harness("tables", run, "--table", number, "--format", "json")[1])


def rewritten(run, change):
    """Change every cell's record, without the seals that would tell."""
    for file in run.glob("cells/*/cell.json"):
        record = {
            name: value for name, value in json.loads(file.read_text()).items() if name not in {"files", "sha256"}
        }
        file.write_text(json.dumps(change(record)))


@pytest.fixture
def recipe(made, tmp_path):
    """The same run, as if densenet and the whole run had been the paper's recipe."""
    run = shutil.copytree(made, tmp_path / "run")
    rewritten(run, lambda record: {**record, "deviations": []} if record["model"] == "densenet" else record)
    told = json.loads((run / "run.json").read_text())
    told["config"]["schedule"] |= {"epochs": 200, "batch_size": 32, "learning_rate": 0.01, "augmentation": "sixfold"}
    (run / "run.json").write_text(json.dumps(told))
    return run


def printed(harness, run):
    """Which models have one of the paper's numbers beside them, in any table."""
    in_3 = {row["model"] for row in table(harness, run, 3)["records"] if row.get("paper") is not None}
    in_4 = {row["model"] for row in table(harness, run, 4)["records"] if row["paper_weights_mb"] is not None}
    in_5 = {row["model"] for row in table(harness, run, 5)["records"] if row["paper_minutes"] is not None}
    return in_3 | in_4 | in_5


def test_the_papers_numbers_stand_beside_its_recipe_alone(harness, made, recipe):
    assert printed(harness, made) == set()
    assert any("epochs 8 instead of 200" in note for note in table(harness, made, 3)["notes"])
    assert printed(harness, recipe) == {"densenet"}
    notes = " ".join(table(harness, recipe, 3)["notes"])
    assert "a random split over images, here accession-5fold" in notes
    assert "probe (growth rate 4" in notes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule.epochs", 100),
        ("schedule.batch_size", 16),
        ("schedule.augmentation", "random"),
        ("pixels.stain", "none"),
    ],
)
def test_one_deviation_hides_them(harness, recipe, key, value):
    told = json.loads((recipe / "run.json").read_text())
    part, name = key.split(".")
    told["config"][part][name] = value
    (recipe / "run.json").write_text(json.dumps(told))
    assert printed(harness, recipe) == set()


def test_never_beside_generated_images(harness, recipe):
    told = json.loads((recipe / "run.json").read_text())
    told["config"]["data"] |= {"folder": None, "phantom": {"accessions": 18}}
    (recipe / "run.json").write_text(json.dumps(told))
    assert printed(harness, recipe) == set()
    assert any("not shown beside generated ones" in note for note in table(harness, recipe, 3)["notes"])


def test_a_frozen_models_minutes_contain_its_features(harness, made):
    cells = [json.loads(file.read_text()) for file in sorted(made.glob("cells/probe-*/cell.json"))]
    for cell in cells:
        assert cell["feature_images"] > 0
        assert cell["feature_images"] % 6 == 0
        timings, images = cell["timings"], 1000.0
        features = cell["feature_images"] / timings["features_per_second_alone"]
        cost = training_cost(parse_cell(cell, made), images)
        assert cost.seconds == pytest.approx(images / timings["images_per_second_alone"] + features)
        assert cost.images == images + cell["feature_images"]
        assert cost.calibrated == pytest.approx(cost.seconds / timings["calibration_seconds"])
    (row,) = (row for row in table(harness, made, 5)["records"] if row["model"] == "probe")
    if row["converged"]:
        assert row["images"] > row["feature_images"] > 0


def cell(features, speed=100.0, feature_speed=10.0):
    timings = {"images_per_second_alone": speed, "features_per_second_alone": feature_speed, "calibration_seconds": 2.0}
    return SimpleNamespace(feature_images=features, timings=SimpleNamespace(**timings))


def test_costs_that_are_not_known():
    assert training_cost(cell(600), 1000).seconds == pytest.approx(10 + 60)
    assert training_cost(cell(0, feature_speed=None), 1000).seconds == pytest.approx(10)
    assert training_cost(cell(0), 1000).seconds is None  # its speed was measured on features that it did not keep
    assert training_cost(cell(None, feature_speed=None), 1000).seconds is None  # recorded before features counted
    assert training_cost(cell(0, speed=None, feature_speed=None), 1000).seconds is None


def test_the_estimate_counts_features_once_and_epochs_by_their_own_speed():
    schedule = Schedule(epochs=10, augmentation="random")
    frozen = Throughput(images_per_second=1000, predictions_per_second=50, features_per_second=40)
    assert training_seconds(frozen, schedule, 100, 30) == pytest.approx(10 * 100 / 1000 + (600 + 30) / 40)
    whole = Throughput(images_per_second=20, predictions_per_second=50)
    assert training_seconds(whole, schedule, 100, 30) == pytest.approx(10 * (100 / 20 + 30 / 50))


def test_the_best_shortcut_is_chosen_on_validation_and_compared_on_test(harness, made, tmp_path):
    run = shutil.copytree(made, tmp_path / "run")

    def change(record):
        aucs = {"white-point": 0.6, "sharpness": 0.9}
        if record["model"] in aucs:
            record["validation_metrics"]["auc"] = aucs[record["model"]]
        return record

    rewritten(run, change)
    assert "The best shortcut on validation is sharpness at 200x." in " ".join(table(harness, run, 3)["lead"])
    against = {row["model"]: row["reference"] for row in table(harness, run, "shortcuts")["records"]}
    assert against == dict.fromkeys(("majority", "densenet", "probe"), "sharpness")
    without = shutil.copytree(run, tmp_path / "without")
    rewritten(without, lambda record: {**record, "is_shortcut": False})
    assert any(note.startswith("No shortcut was run") for note in table(harness, without, 3)["lead"])


@pytest.fixture(scope="module")
def version_1(tmp_path_factory):
    """The demo as the harness left it when its run folders were of schema version 1."""
    folder = tmp_path_factory.mktemp("version-1")
    with tarfile.open(VERSION_1) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_a_run_of_version_1_is_read_and_shown(harness, version_1):
    code, out, err = harness("tables", version_1)
    assert (code, err) == (0, "")
    assert "The paper's numbers are of real images" in out
    rows = {row["model"]: row for row in table(harness, version_1, 5)["records"]}
    assert rows["deep-transfer"]["calibrated_cost"] is None  # the cost of its features was not recorded
    assert rows["densenet"]["calibrated_cost"] > 0
    assert 0 < rows["densenet"]["converged"] < rows["densenet"]["cells"]
    assert harness("compare", version_1, version_1, "--fail-on-regression")[0] == 0


def test_convergence_of_version_1_is_defined_as_now(version_1):
    store = RunStore(version_1)
    found, stored = read_results(store), store.read_done()
    changed = [name for name, record in found.cells.items() if record.convergence != stored[name].convergence]
    assert changed
    for name in changed:
        point = find_convergence(found.final_history(name), single_class=stored[name].single_class)
        assert found.cells[name].convergence == (point and ConvergenceRecord(**asdict(point)))


def test_cells_of_version_1_are_stale_with_the_reason(harness, version_1):
    code, out, _ = harness("status", version_1, "--json")
    assert code == 0
    status = json.loads(out)
    assert status["counts"] == {"stale": 100}
    assert all("plugin" in cell["detail"] for cell in status["cells"])


def test_tables_read_every_record_once(made, tmp_path, monkeypatch):
    """A run of 10,000 cells has records of 50 MB, and reading each takes as long as a table of it."""
    run, read = shutil.copytree(made, tmp_path / "run"), []
    monkeypatch.setattr(run_folder, "read_json", lambda file: read.append(file.name) or json_files.read_json(file))
    publish(RunStore(run), Cache(tmp_path / "cache", print))
    assert read.count("cell.json") == len(list(run.glob("cells/*")))
