"""Real runs of small models on a small phantom, through the command line."""

import json
import shutil

import pandas as pd
import pytest
from pages import ROOT, files

from harness.evaluation.cell_metrics import measure_pooled
from harness.execution.cell_results import scored_columns
from harness.reporting.table import FORMATS


def folder_bytes(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def predictions(run):
    return {path.parent.name: pd.read_parquet(path) for path in sorted(run.glob("cells/*/predictions.parquet"))}


@pytest.fixture(scope="module")
def whole(finished):
    return finished()


@pytest.fixture
def done(whole, tmp_path):
    """A finished run of one's own."""
    return shutil.copytree(whole, tmp_path / "run")


def test_a_run_prints_its_tables(harness, tiny, phantom, tmp_path):
    code, out, err = harness("run", tiny, "--data", phantom, "--out", tmp_path / "run")
    assert code == 0, err
    assert "Table 3. Accuracy" in out


def test_a_run_keeps_what_the_tables_need(done):
    assert sorted(predictions(done)) == ["densenet-200x-fold0-seed0", "majority-200x-fold0-seed0"]
    table = predictions(done)["densenet-200x-fold0-seed0"]
    assert list(table.columns) == [
        *("side", "image", "group", "subgroup", "subtype", "stratum", "model", "fold", "seed", "label"),
        *("predicted", "p_benign", "p_malignant"),
    ]
    splits = pd.read_parquet(done / "splits.parquet")
    manifest = pd.read_parquet(done / "manifest.parquet").set_index("name")
    at_200 = splits[splits["image"].map(manifest["stratum"]) == "200x"]
    assert set(table["image"]) == set(at_200.loc[at_200["side"] != "train", "image"])
    record = json.loads((done / "cells/densenet-200x-fold0-seed0/cell.json").read_text())
    assert record["metrics"]["p_img"] == (table.query("side == 'test'").eval("predicted == label")).mean()
    assert (done / "cells/densenet-200x-fold0-seed0/model.safetensors").exists()


def test_metrics_come_from_the_predictions(done, harness):
    tables = [
        harness("tables", done, "--table", name, "--format", "json")[1] for name in ("3", "metrics", "thresholds")
    ]
    records = [record for table in tables for record in json.loads(table)["records"]]
    for label, table in ((name.split("-")[0], t.query("side == 'test'")) for name, t in predictions(done).items()):
        expected = measure_pooled(scored_columns(table, ["benign", "malignant"]), cross_validated=False)
        found = {r["metric"]: r["value"] for r in records if r["model"] == label}
        assert {metric: found[metric] for metric in expected} == pytest.approx(expected, nan_ok=True)


def test_tables_and_figures_are_pure_functions_of_the_run(done, harness):
    before = folder_bytes(done)
    shutil.rmtree(done / "tables")
    shutil.rmtree(done / "figures")
    assert harness("tables", done)[0] == 0
    assert folder_bytes(done) == before
    written = {path.name for path in (done / "tables").iterdir()}
    assert {f"{name}.{how}" for name in ("table3", "differences", "slides") for how in FORMATS} < written
    assert "preamble.tex" in written


def test_the_same_command_gives_the_same_predictions(done, harness, tiny, phantom, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other cache"))
    assert harness("run", tiny, "--data", phantom, "--out", tmp_path / "two", "--jobs", "2")[0] == 0
    one, two = predictions(done), predictions(tmp_path / "two")
    assert all(one[cell].equals(two[cell]) for cell in one)


def test_finished_cells_are_kept_and_missing_ones_computed(done, harness, tiny, phantom):
    kept = done / "cells/majority-200x-fold0-seed0/cell.json"
    shutil.rmtree(done / "cells/densenet-200x-fold0-seed0")
    stamp = kept.stat().st_mtime_ns
    code, _, err = harness("run", tiny, "--data", phantom, "--out", done)
    assert code == 0
    assert "1 cells computed, 1 kept" in err
    assert kept.stat().st_mtime_ns == stamp


def test_another_comparison_is_refused(done, harness, tiny, phantom):
    before = folder_bytes(done / "cells")
    code, _, err = harness("run", tiny, "--data", phantom, "--out", done, "-o", "schedule.epochs=3")
    assert code == 2
    assert "schedule" in err
    assert folder_bytes(done / "cells") == before
    assert harness("run", tiny, "--data", phantom, "--out", done, "-o", "schedule.epochs=3", "--fresh")[0] == 0
    assert list(done.glob("before-*/cells/*"))


def test_models_and_options_may_change(done, harness, tiny, phantom):
    code, _, err = harness("run", tiny, "--data", phantom, "--out", done, "-o", "models.densenet.options.growth_rate=6")
    assert code == 0
    assert "1 cells computed, 1 kept" in err
    assert "densenet: options changed; 1 finished cells are computed again" in err


def test_a_reference_that_is_not_run_does_not_stop_the_run(harness, tiny, phantom, tmp_path):
    arguments = ("run", tiny, "--data", phantom, "--out", tmp_path / "r", "-o", "reference=densenet")
    assert harness(*arguments, "--models", "majority")[0] == 0
    assert harness(*arguments, "--models", "majority")[0] == 0
    code, _, err = harness("run", tiny, "--data", phantom, "--out", tmp_path / "r", "-o", "reference=densnet")
    assert code == 2
    assert "reference 'densnet' is no model of it" in err


def test_status(done, harness):
    status = json.loads(harness("status", done, "--json")[1])
    assert status["counts"] == {"done": 2}


BAD = """
import os
from torch import nn
from harness import TorchModel, hookimpl

class Bad(TorchModel):
    name = "bad"
    def build(self, n_classes):
        {body}

@hookimpl
def harness_register_models(register):
    register(Bad)
"""


def test_the_bare_model_of_the_docs_runs(harness, tiny, phantom, tmp_path):
    (source,) = files(ROOT / "docs" / "models" / "arrays.md").values()
    (tmp_path / "mean.py").write_text(source)
    arguments = ("run", tiny, "--data", phantom, "--models", "colour-histogram", "--plugin", tmp_path / "mean.py")
    assert harness(*arguments, "--out", tmp_path / "good")[0] == 0
    (tmp_path / "mean.py").write_text(source.replace("return ModelCard(", "return dict("))
    code, _, err = harness(*arguments, "--out", tmp_path / "bad")
    assert code == 1
    assert "describe() must return a harness.ModelCard, not dict" in err


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("raise ValueError('no such layer')", "ValueError: no such layer", marks=pytest.mark.long),
        ("os._exit(7)", "exited with code 7"),
    ],
)
def test_a_failing_model_costs_only_its_own_cells(harness, tiny, phantom, tmp_path, done, body, reason):
    (tmp_path / "bad.py").write_text(BAD.format(body=body))
    run = tmp_path / "with bad"
    code, _, err = harness("run", tiny, "--data", phantom, "--out", run, "--plugin", tmp_path / "bad.py")
    assert code == 1
    assert reason in err
    good = predictions(done)
    assert all(predictions(run)[cell].equals(good[cell]) for cell in good)
    record = json.loads((run / "cells/bad-200x-fold0-seed0/cell.json").read_text())
    assert record["state"] == "failed"
    told = (run / "cells/bad-200x-fold0-seed0/traceback.txt").read_text()
    assert (reason in told) == ("raise" in body)  # a process that is gone leaves none
    assert "CELL/traceback.txt" in err
    assert reason in record["error"]["reason"]


def test_a_diverging_model_names_the_epoch(harness, tiny, phantom, tmp_path):
    code, _, err = harness("run", tiny, "--data", phantom, "--out", tmp_path / "r", "-o", "schedule.learning_rate=1e30")
    assert code == 1
    assert "diverged in epoch 1" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "EMPTY"], 3, "no images of breakhis"),
        (["--data", "MISSING"], 3, "is not there"),
        (["-o", "schedule.epoch=3"], 2, "did you mean 'epochs'"),
        (["-o", "protocol=paper-random"], 2, "allow_leak"),
        (["--models", "densnet"], 2, "did you mean 'densenet'"),
        (["-o", "models={densnet: {}}"], 2, "did you mean 'densenet'"),
        (["-o", "models={deep-transfer: {options: {weights: gone.pt}}}"], 3, "gone.pt"),
        (["-o", "models={deep-transfer: {}}", "-o", "sources.lung.phantom=false"], 3, "sources.lung.folder"),
        (["--plugin", "gone.py"], 4, "gone.py"),
        (["--device", "cuda:99"], 3, "cuda:99"),
        (["--out", "FILE"], 3, "cannot write"),
    ],
)
def test_bad_requests(harness, tiny, phantom, tmp_path, arguments, code, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    places = {"EMPTY": tmp_path / "empty", "MISSING": tmp_path / "missing", "FILE": tmp_path / "file"}
    arguments = [places.get(argument, argument) for argument in arguments]
    given = ["run", tiny, "--data", phantom, "--out", tmp_path / "run", *arguments]
    found, out, err = harness(*given)
    assert found == code
    assert message in err
    assert out == ""
    assert not (tmp_path / "run" / "cells").exists() or not any((tmp_path / "run" / "cells").iterdir())


def test_a_damaged_image_stops_or_is_skipped(harness, tiny, phantom, tmp_path):
    shutil.copytree(phantom, tmp_path / "images")
    victim = next(path for path in sorted((tmp_path / "images").rglob("*-200-*.png")))
    victim.write_bytes(victim.read_bytes()[:100])
    arguments = ("run", tiny, "--data", tmp_path / "images", "--out", tmp_path / "run")
    code, _, err = harness(*arguments)
    assert code == 3
    assert victim.name in err
    assert harness(*arguments, "-o", "data.on_damaged=skip", "--models", "majority")[0] == 0
    manifest = pd.read_parquet(tmp_path / "run/manifest.parquet").set_index("name")
    assert manifest.loc[victim.stem, "state"] == "damaged"


def test_a_leaky_run_says_so_in_every_heading(harness, tiny, phantom, tmp_path):
    arguments = ("run", tiny, "--data", phantom, "--out", tmp_path / "run", "--models", "majority")
    code, out, _ = harness(*arguments, "-o", "protocol=paper-random", "-o", "allow_leak=true")
    assert code == 0
    headings = [line for line in out.splitlines() if line.startswith("## ")]
    assert len(headings) == 3
    assert all("LEAKY" in line for line in headings)


def test_a_limited_run_is_marked(harness, tiny, phantom, tmp_path):
    _, out, _ = harness("run", tiny, "--data", phantom, "--out", tmp_path / "r", "--models", "majority", "--limit", "1")
    assert "NOT COMPARABLE" in out


def test_dry_run_writes_nothing(harness, tiny, phantom, tmp_path):
    code, out, _ = harness("run", tiny, "--data", phantom, "--out", tmp_path / "r", "--dry-run")
    assert code == 0
    assert "2 cells to compute" in out
    assert not (tmp_path / "r").exists()


@pytest.mark.long
def test_transfer_stages_and_fitted_stain(harness, tiny, phantom, tmp_path):
    budget = "{epochs: 1, batch_size: 32, augmentation: none}"
    options = f"{{growth_rate: 4, block_config: [1, 1], freeze: denseblock1, natural: {budget}, lung: {budget}}}"
    code, _, err = harness(
        *("run", tiny, "--data", phantom, "--out", tmp_path / "r", "-o", "pixels.stain=fitted"),
        *("-o", f"models={{deep-transfer: {{options: {options}}}, lbp-svm: {{}}, 'timm:resnet10t': {{}}}}"),
    )
    assert code == 0, err
    history = pd.read_parquet(tmp_path / "r/cells/deep-transfer-200x-fold0-seed0/history.parquet")
    assert list(history["stage"].unique()) == ["natural", "lung", "final"]
    record = json.loads((tmp_path / "r/cells/deep-transfer-200x-fold0-seed0/cell.json").read_text())
    assert record["trainable_parameters"] < record["parameters"]
    natural, lung, final = record["provenance"]
    assert "1 epochs on natural" in natural
    assert "accuracy on tiles apart" in lung
    assert "accuracy on copies of trained tiles" in lung
    assert final == "final: fresh classifier, 4 modules frozen"
    assert record["start_up_seconds"] >= 0
    code, out, _ = harness("status", tmp_path / "r", "--provenance")
    assert code == 0
    assert out.splitlines()[:3] == ["deep-transfer", "  1 cells", f"    {natural}"]
    assert json.loads(harness("status", tmp_path / "r", "--provenance", "--json")[1])["lbp-svm"] == [
        {"steps": [], "cells": 1, "inspection": {}}
    ]


def test_splits(harness, tiny, phantom):
    code, out, _ = harness("splits", tiny, "--data", phantom, "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["leaks"] == []
    assert len(answer["fingerprint"]) == 64
    on_a_gpu = json.loads(harness("splits", tiny, "--data", phantom, "-o", "device=cuda", "--json")[1])
    assert on_a_gpu["fingerprint"] == answer["fingerprint"]
    leaky = json.loads(harness("splits", tiny, "--data", phantom, "-o", "protocol=paper-random", "--json")[1])
    assert leaky["leaks"]


def test_plugins_list(harness):
    code, out, _ = harness("plugins", "list")
    assert code == 0
    assert "lbp-svm" in out
