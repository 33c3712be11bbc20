"""Two real runs held against each other, one of them spoilt on purpose."""

import json
import shutil

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def made(finished):
    """A finished run of two models in five folds."""
    return finished("-o", "protocol=accession-5fold")


@pytest.fixture
def base(made, tmp_path):
    """A copy of it that a test may change: without seals, which would tell."""
    base = shutil.copytree(made, tmp_path / "base")
    for file in base.glob("cells/*/cell.json"):
        record = json.loads(file.read_text())
        file.write_text(json.dumps({name: record[name] for name in record if name not in {"files", "sha256"}}))
    return base


@pytest.fixture
def spoilt(base, tmp_path):
    """The same run, as if densenet had got most images wrong."""
    new = shutil.copytree(base, tmp_path / "spoilt")
    for file in new.glob("cells/densenet-*/predictions.parquet"):
        table = pd.read_parquet(file)
        table["p_malignant"] = 1.0 - table["label"] * 0.9 - 0.05
        table["p_benign"] = 1 - table["p_malignant"]
        table["predicted"] = 1 - table["label"]
        table.to_parquet(file, index=False)
    return new


def test_a_run_is_as_good_as_itself(harness, base):
    code, out, _ = harness("compare", base, base, "--fail-on-regression")
    assert code == 0
    assert out.startswith("## No regression")
    verdicts = {row["verdict"] for row in json.loads(harness("compare", base, base, "--json")[1])["rows"]}
    assert verdicts == {"same"}


def test_a_spoilt_model_is_named(harness, base, spoilt):
    code, out, _ = harness("compare", base, spoilt, "--fail-on-regression")
    assert code == 1
    assert "densenet: balanced accuracy" in out
    assert "majority: " not in out
    assert harness("compare", base, spoilt)[0] == 0
    answer = json.loads(harness("compare", base, spoilt, "--json")[1])
    assert {row["model"] for row in answer["rows"] if row["verdict"] == "worse"} == {"densenet"}
    back = json.loads(harness("compare", spoilt, base, "--json")[1])
    assert back["regressions"] == []
    assert {row["model"] for row in back["rows"] if row["verdict"] == "better"} == {"densenet"}


def test_what_is_the_same_is_counted_unless_it_is_asked_for(harness, base, spoilt):
    out = harness("compare", base, spoilt)[1]
    assert "The same, within the margin: " in out
    assert "| majority " not in out
    assert "| majority " in harness("compare", base, spoilt, "--all")[1]


def test_only_some_models(harness, base, spoilt):
    assert harness("compare", base, spoilt, "--models", "majority", "--fail-on-regression")[0] == 0
    for folder in spoilt.glob("cells/majority-*"):
        shutil.rmtree(folder)
    assert harness("compare", base, spoilt, "--models", "majority", "--fail-on-regression")[0] == 1
    code, out, _ = harness("compare", base, spoilt, "--models", "densenet", "--fail-on-regression")
    assert code == 1
    assert "majority" not in out
    code, _, err = harness("compare", base, spoilt, "--models", "densnet")
    assert code == 2
    assert "did you mean 'densenet'" in err


def test_a_failed_cell_is_a_regression(harness, base, tmp_path):
    new = shutil.copytree(base, tmp_path / "new")
    shutil.rmtree(new / "cells/densenet-200x-fold2-seed0")
    code, out, _ = harness("compare", base, new, "--fail-on-regression")
    assert code == 1
    assert "densenet: 1 finished cells of the base are missing" in out


def test_other_comparisons_are_refused(harness, base, tiny, phantom, tmp_path):
    other = tmp_path / "other"
    assert harness("run", tiny, "--data", phantom, "--out", other, "--models", "majority")[0] == 0
    code, out, err = harness("compare", base, other)
    assert code == 2
    assert 'protocol = "accession-5fold"' in err
    assert "holdout" in err
    assert out == ""


def test_no_run(harness, base, tmp_path):
    code, _, err = harness("compare", base, tmp_path / "nothing")
    assert code == 3
    assert "no run" in err


def test_dearer_training_is_seen_on_any_machine(harness, base, tmp_path):
    """Ten times the images on a machine of twice the speed: the training curve and the calibrated cost tell."""
    new = shutil.copytree(base, tmp_path / "new")
    for place, file in enumerate(sorted(new.glob("cells/densenet-*/cell.json"))):
        cell = json.loads(file.read_text())
        before = json.loads((base / file.relative_to(new)).read_text())
        for folder, waited, record in ((base, 2 + place % 2, before), (new, 20, cell)):
            told = folder / file.parent.relative_to(new) / "history.parquet"
            epoch = pd.read_parquet(told).iloc[:1]
            epochs = pd.concat([epoch.assign(epoch=at, images_seen=100 * at) for at in range(1, 31)])
            learned = (epochs["epoch"] > waited).to_numpy()
            epochs["train_balanced_accuracy"] = learned * 0.4 + 0.5
            epochs.to_parquet(told, index=False)
            record["epochs"], record["single_class"] = len(epochs), False
        cell["timings"]["images_per_second_alone"] *= 2
        cell["timings"]["calibration_seconds"] /= 2
        file.write_text(json.dumps(cell))
        (base / file.relative_to(new)).write_text(json.dumps(before))
    answer = json.loads(harness("compare", base, new, "--json")[1])
    worse = {row["quantity"] for row in answer["rows"] if row["verdict"] == "worse"}
    assert worse == {"area over the training curve", "calibrated cost"}


def test_a_network_that_learns_nothing_costs_its_whole_budget(harness, base, tmp_path):
    new = shutil.copytree(base, tmp_path / "new")
    budget = 0
    for folder, level in ((base, 0.9), (new, 0.5)):
        for file in sorted(folder.glob("cells/densenet-*/history.parquet")):
            epochs = pd.read_parquet(file).assign(train_balanced_accuracy=level)
            epochs.to_parquet(file, index=False)
            budget += int(epochs["images_seen"].max()) * (folder == new)
            cell = json.loads((file.parent / "cell.json").read_text())
            (file.parent / "cell.json").write_text(json.dumps(cell | {"single_class": False}))
    rows = json.loads(harness("compare", base, new, "--json")[1])["rows"]
    (area,) = (row for row in rows if row["quantity"] == "area over the training curve")
    assert area["new"] == budget
    assert area["base"] == budget / 2  # an epoch of two: at the level from the start
