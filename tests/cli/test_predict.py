"""Kept models on new images, through the command line."""

import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.io import encode_png

import harness.execution.predict as core
from harness.api.predict import predict
from harness.errors import CellError
from harness.evaluation.threshold import choose_threshold
from harness.execution.cell_results import scored_columns
from harness.store.run_store import RunStore
from harness.workers.messages import Failure, Measured, Predicted

PLUGIN = '''
from pathlib import Path
import numpy as np
from harness import Model, ModelCard, hookimpl

class Dim(Model):
    """The darkness of a picture."""

    name = "dim"

    def fit(self, train, validation, context):
        pass

    def predict_proba(self, images):
        p = 1 - images.double().mean((1, 2, 3)).cpu().numpy() / 255
        return np.stack([1 - p, p], axis=1)

    def describe(self):
        return ModelCard()

    def save(self, folder):
        (folder / "kept.txt").write_text("kept")

    def load(self, folder, device, n_classes):
        (folder / "kept.txt").write_text("spoilt")
        if Path(__file__).with_name("fails").exists():
            raise ValueError("not today")

@hookimpl
def harness_register_models(register):
    register(Dim)
'''
MODELS = "models={densenet: {options: {growth_rate: 4, block_config: [1, 1]}}, dim: {}}"
BOTH = ("-o", "strata=[40x,200x]", "-o", "schedule.epochs=1")
CELL = "densenet-200x-fold0-seed0"


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Tables and figures take most of a small run's time."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("harness.api.runs.publish", lambda *_: {})
        yield


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugin") / "dim.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture(scope="module")
def run(finished, plugin):
    """A hold-out of two models at one magnification."""
    return finished("--plugin", plugin, "-o", MODELS, "-o", "schedule.epochs=1")


@pytest.fixture(scope="module")
def folds(finished):
    """Five folds of one model at two magnifications."""
    return finished(*BOTH, "--models", "densenet", "-o", "protocol=accession-5fold")


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """Pictures of two patients, none of a run."""
    folder = tmp_path_factory.mktemp("new") / "images"
    rng = np.random.default_rng(0)
    for number in range(5):
        file = folder / f"patient{number % 2}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (3, 40 + number, 50), dtype=np.uint8)
        file.write_bytes(encode_png(torch.from_numpy(picture)).numpy().tobytes())
    return folder


def files_of(run, phantom, cell=CELL, side="test"):
    """The pictures that stand on a side of a cell, and its stored rows by name."""
    stored = pd.read_parquet(run / "cells" / cell / "predictions.parquet")
    rows = stored[stored["side"] == side].set_index("image")
    files = {file.stem: file for file in phantom.rglob("*.png")}
    return [files[name] for name in rows.index], rows


def table_of(out):
    """What was printed; pandas itself may read a last bit otherwise."""
    return pd.read_csv(io.StringIO(out), converters=dict.fromkeys(("p_benign", "p_malignant"), float))


def names(table):
    return [image.rpartition("/")[2].removesuffix(".png") for image in table["image"]]


def folder_bytes(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_runs_own_test_images_get_what_the_run_stored_to_the_bit(harness, run, phantom):
    files, stored = files_of(run, phantom)
    code, out, err = harness("predict", run, *files, "--model", "densenet", "--device", "cpu")
    assert code == 0, err
    table = table_of(out)
    wanted = stored.loc[names(table)]
    for column in ("p_benign", "p_malignant"):
        assert table[column].to_list() == wanted[column].to_list()
    assert table["group"].to_list() == wanted["group"].to_list()
    assert (table["cells"] == 1).all()
    _, out, _ = harness("predict", run, files[0], "--model", "densenet", "--device", "cpu")
    assert table_of(out)["p_malignant"][0] == pytest.approx(stored["p_malignant"].iloc[0], abs=1e-5)


@pytest.mark.long
def test_every_image_of_five_folds_is_predicted_by_the_fold_that_tested_it(harness, folds, phantom):
    files = [file for file in phantom.rglob("*.png") if re.search("-(40|200)-", file.name)]
    code, out, err = harness("predict", folds, *files, "--device", "cpu", "--json")
    assert code == 0, err
    answer = json.loads(out)
    stored = pd.concat(map(pd.read_parquet, folds.glob("cells/*/predictions.parquet")))
    stored = stored[stored["side"] == "test"].set_index("image")
    table = pd.DataFrame(answer["images"])
    assert len(table) == len(files) == len(stored)
    assert (table["p_malignant"].to_numpy() == stored.loc[names(table), "p_malignant"].to_numpy()).all()
    assert answer["model"] == "densenet"
    assert {row["cell"] for row in answer["by_cell"]} == {path.name for path in folds.glob("cells/*")}


def test_a_new_image_gets_the_mean_over_cells_each_with_its_own_threshold(folds, new, shared_cache, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(shared_cache))
    before = folder_bytes(folds / "cells")
    found = predict(folds, [new], stratum="200x", device="cpu")
    cells = found.by_cell.groupby("image", sort=False)
    assert (found.images["cells"] == 5).all()
    assert np.allclose(found.images["p_malignant"], cells["p_malignant"].mean(), rtol=0, atol=1e-12)
    thresholds = found.by_cell.groupby("cell")["threshold"].first()
    for cell, threshold in thresholds.items():
        rows = pd.read_parquet(folds / "cells" / cell / "predictions.parquet")
        rows = scored_columns(rows, ["benign", "malignant"])
        assert threshold == choose_threshold(rows[rows["side"] == "validation"])
    over = (found.by_cell["p_malignant"] >= found.by_cell["threshold"]).groupby(found.by_cell["image"], sort=False)
    assert found.images["share_malignant"].to_list() == pytest.approx(over.mean().to_list())
    called = np.where(found.images["p_malignant"] >= 0.5, "malignant", "benign")
    assert (found.images["called"] == called).all()
    assert folder_bytes(folds / "cells") == before


def test_a_cell_by_itself_and_groups(harness, run, new, plugin):
    code, out, err = harness("predict", run / "cells" / "dim-200x-fold0-seed0", new, "--plugin", plugin)
    assert code == 0, err
    images = table_of(out)
    assert list(images) == ["image", "group", "p_benign", "p_malignant", "called", "share_malignant", "cells"]
    code, out, err = harness("predict", run, new, "--model", "dim", "--plugin", plugin, "--groups")
    assert code == 0, err
    groups = table_of(out).set_index("group")
    assert groups.index.to_list() == ["patient0", "patient1"]
    assert groups["images"].to_list() == [3, 2]
    means = images.groupby("group")["p_malignant"].mean()
    assert groups["p_malignant"].to_list() == pytest.approx(means.to_list())
    called = np.where(groups["p_malignant"] >= groups["threshold"], "malignant", "benign")
    assert (groups["called_at_threshold"] == called).all()


@pytest.mark.parametrize("side", ["train", "validation"])
def test_images_that_the_run_has_learned_from_are_refused_by_name(harness, run, phantom, new, side):
    splits = pd.read_parquet(run / "splits.parquet")
    seen = set(splits.loc[splits["side"] == side, "image"])
    file = min(file for file in phantom.rglob("*-200-*.png") if file.stem in seen)
    code, out, err = harness("predict", run, new, file, "--model", "densenet")
    assert (code, out) == (2, "")
    assert "1 of the images are in the run's manifest" in err
    assert file.name in err


def test_another_name_hides_no_image_of_the_run(harness, run, phantom, tmp_path):
    splits = pd.read_parquet(run / "splits.parquet")
    seen = set(splits.loc[splits["side"] == "train", "image"])
    file = min(file for file in phantom.rglob("*-200-*.png") if file.stem in seen)
    shutil.copy(file, tmp_path / "mine.png")
    code, _, err = harness("predict", run, tmp_path / "mine.png", "--model", "densenet")
    assert (code, "mine.png" in err) == (2, True)


def test_another_picture_of_a_known_patient_is_noted(harness, run, phantom, new, tmp_path):
    name = min(file.name for file in phantom.rglob("*-200-*.png"))
    shutil.copy(new / "patient0" / "0.png", tmp_path / name)
    code, out, err = harness("predict", run, tmp_path / name, "--model", "densenet")
    assert code == 0, err
    assert f"1 images are of accessions that the run has images of ({table_of(out)['group'][0]})" in err


def test_what_is_not_said_or_is_not_there(harness, run, folds, new, phantom, tmp_path):
    image = new / "patient0" / "0.png"
    at_40, at_100 = (min(phantom.rglob(f"*-{magnification}-*.png")) for magnification in (40, 100))
    for arguments, code, words in [
        ((run, image), 2, "several models can predict: densenet, dim - choose with --model"),
        ((run, image, "--model", "densnet"), 2, "did you mean 'densenet'?"),
        ((folds, image), 2, "with --stratum: 40x, 200x"),
        ((folds, image, "--stratum", "400x"), 2, "no finished cell of it at 400x"),
        ((folds, at_100), 2, "is of 100x, and there are cells at 40x, 200x only"),
        ((folds / "cells" / CELL, at_40), 2, "is of 40x, and there are cells at 200x only"),
        ((folds, tmp_path / "none.png"), 3, "no such image"),
        ((folds, tmp_path), 3, "no images in"),
        ((folds, run / "run.json"), 2, "has not the ending of an image"),
        ((tmp_path, image), 3, "no run in"),
        ((run / "cells" / CELL, image, "--model", "dim"), 2, "no finished cell of a model 'dim'"),
        ((folds, image, "--stratum", "200x", "--device", "cuda:99"), 3, "cuda:99"),
    ]:
        found, out, err = harness("predict", *arguments)
        assert (found, out) == (code, ""), (arguments, err)
        assert words in err


def test_damaged_images_are_named(harness, run, new, tmp_path):
    whole = (new / "patient0" / "0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    code, out, err = harness("predict", run, new, tmp_path / "cut.png", "--model", "densenet")
    assert (code, out) == (3, "")
    assert "1 damaged image: " in err
    assert "cut.png: " in err


def test_a_plugin_that_is_missing_another_or_fails_is_named(harness, run, new, plugin, tmp_path):
    code, _, err = harness("predict", run, new, "--model", "dim")
    assert code == 1
    assert "dim: no model 'dim'" in err
    assert "with --plugin" in err
    (tmp_path / "dim.py").write_text(plugin.read_text() + "# edited\n")
    code, _, err = harness("predict", run, new, "--model", "dim", "--plugin", tmp_path / "dim.py")
    assert code == 1
    assert "dim: the code of plugin dim" in err
    plugin.with_name("fails").touch()
    code, _, err = harness("predict", run, new, "--model", "dim", "--plugin", plugin)
    plugin.with_name("fails").unlink()
    assert code == 1
    assert "dim-200x-fold0-seed0: ValueError: not today" in err


def test_a_model_that_is_gone_is_named(harness, run, new, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "cells" / CELL / "model.safetensors").unlink()
    code, _, err = harness("predict", copy, new, "--model", "densenet")
    assert code == 3
    assert f"{CELL}: its model cannot be read: model.safetensors is not there" in err


def test_a_row_that_was_made_elsewhere_has_no_model(harness, run, tiny, phantom, new, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    _, stored = files_of(run, phantom)
    stored.reset_index()[["image", "fold", "seed", "p_malignant"]].to_csv(tmp_path / "mine.csv", index=False)
    code, _, err = harness(
        "score", tmp_path / "mine.csv", tiny, "-o", "schedule.epochs=1", "--data", phantom, "--out", copy
    )
    assert code == 0, err
    code, _, err = harness("predict", copy, new, "--model", "scored:mine")
    assert (code, "scored:mine: its predictions were made elsewhere" in err) == (2, True)
    assert "several models can predict: densenet, dim -" in harness("predict", copy, new)[2]


@pytest.mark.parametrize("stain", ["fitted", "slide"])
@pytest.mark.long
def test_colours_are_those_that_the_fold_saw(harness, finished, phantom, plugin, new, tmp_path, stain):
    run = finished("--plugin", plugin, "-o", "models={dim: {}}", "-o", f"pixels={{size: 32, stain: {stain}}}")
    files, stored = files_of(run, phantom, "dim-200x-fold0-seed0")
    code, out, err = harness("predict", run, *files, new, "--plugin", plugin)
    assert code == 0, err
    table = table_of(out)
    known = table[: len(files)]
    assert known["p_malignant"].to_list() == stored.loc[names(known), "p_malignant"].to_list()
    shutil.copytree(phantom, tmp_path / "moved")
    next((tmp_path / "moved").rglob("*.png")).unlink()
    code, _, err = harness("predict", run, new, "--plugin", plugin, "--data", tmp_path / "moved")
    assert (code, "are not those of the run" in err) == ((3, True) if stain == "fitted" else (0, False))


def test_answers_of_a_worker_are_checked(run, monkeypatch):
    record = RunStore(run).read_done()[CELL]
    one = core.CellRows(record, pd.DataFrame({"image": ["a", "b"]}))
    predictor = core._Predictor(core.KeptRun(RunStore(run), RunStore(run).require_run().config, None), *[None] * 3)
    for answer, words in [
        (Predicted(np.full((1, 2), 0.5)), "returned shape (1, 2) for 2 images"),
        (Predicted(np.full((2, 2), np.nan)), "not finite"),
        (Predicted(np.full((2, 2), 0.7)), "no probabilities"),
        (Measured(None, None, 1), "unexpected answer: Measured"),
        (Failure("broken"), "broken"),
    ]:
        monkeypatch.setattr(predictor, "_answer", lambda _, answer=answer: answer)
        with pytest.raises(CellError, match=re.escape(words)) as refusal:
            predictor.predict(one)
        assert CELL in str(refusal.value)
