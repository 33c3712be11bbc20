"""The page on cohorts of one's own, done as it stands there on generated images."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import torch
from pages import COHORT, commands, files
from small_runs import prepare_environment
from torchvision.io import write_jpeg, write_png

import harness as public
from harness.cli.main import _exit_code

CLASSES = ("normal", "in situ", "invasive")


def picture(random, label):
    stripes = np.arange(40) // (2 + 2 * label) % 2 * 60
    noise = random.normal(150, 20, (3, 40, 40)) + random.normal(0, 10, (3, 1, 1))
    return torch.from_numpy(np.clip(noise + stripes, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files of the page, a table of 15 patients, and patches of 12."""
    folder = tmp_path_factory.mktemp("cohort")
    for name, content in files(COHORT).items():
        (folder / name).write_text(content)
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    with (folder / "cohort.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "diagnosis", "patient", "magnification", "age"])
        for patient in range(18):
            for image in range(3):
                name = f"images/p{patient:02}_{image}.jpg"
                write_jpeg(picture(random, patient % 3), str(folder / name))
                writer.writerow([name, CLASSES[patient % 3], f"p{patient:02}", "20x", 40 + patient])
    for patient in range(12):
        for label in (0, 1):
            below = folder / "patches" / str(10253 + patient) / str(label)
            below.mkdir(parents=True)
            for x in range(2):
                name = f"{10253 + patient}_idx5_x{x}001_y1001_class{label}.png"
                write_png(picture(random, label), str(below / name))
    return folder


@pytest.fixture(scope="module")
def said(place, shared_cache):
    """What every command of the page has said, by command."""
    found = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        prepare_environment(monkeypatch, shared_cache, place)
        monkeypatch.chdir(place)
        for line in commands(COHORT):
            program, *words = line.split()
            assert program == "harness"
            found[line] = _exit_code(words)
    return found


@pytest.mark.long
def test_every_command_of_the_page_is_done(said):
    assert said
    assert set(said.values()) == {0}


@pytest.mark.long
@pytest.mark.usefixtures("said")
def test_a_table_of_three_classes_has_every_table_in_its_own_words(place):
    results = public.read_run(place / "runs" / "cohort")
    assert (results.classes, results.data_set.group) == (list(CLASSES), "patient")
    assert results.run.protocol.name == "patient-5fold"
    assert json.loads(results.manifest["facts"][0]) == {"age": "40"}
    tables = place / "runs" / "cohort" / "tables"
    assert not (tables / "slides.md").exists()
    assert "| p00" in (tables / "patients.md").read_text()
    metrics = (tables / "metrics.md").read_text()
    assert "macro" in metrics
    assert "sensitivity" not in metrics.partition("\n- ")[0]
    table3 = (tables / "table3.md").read_text()
    assert "P_arp by patient" in table3
    assert "paper" not in table3
    every = "".join(path.read_text() for path in tables.glob("*.md"))
    assert not {"accession", "magnification", "malignant"} & set(every.lower().split())


@pytest.mark.long
@pytest.mark.usefixtures("said")
def test_balanced_accuracy_and_auc_of_three_classes_are_those_of_scikit_learn(place):
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    results = public.read_run(place / "runs" / "cohort")
    for name, cell in results.cells.items():
        table = pd.read_parquet(place / "runs" / "cohort" / "cells" / name / "predictions.parquet")
        test = table[table["side"] == "test"]
        probabilities = test[[f"p_{name}" for name in CLASSES]].to_numpy()
        assert cell.metrics["balanced_accuracy"] == pytest.approx(
            balanced_accuracy_score(test["label"], probabilities.argmax(1))
        )
        one_hot = np.eye(3)[test["label"]]
        assert cell.metrics["auc"] == pytest.approx(roc_auc_score(one_hot, probabilities, average="macro"))
        assert cell.metrics["brier"] == pytest.approx(((probabilities - one_hot) ** 2).sum(1).mean() / 2)
        assert cell.metrics["sensitivity"] is None


@pytest.mark.long
@pytest.mark.usefixtures("said")
def test_patients_with_images_of_both_classes_are_kept_whole_and_left_out_of_mcnemar(place):
    results = public.read_run(place / "runs" / "patches")
    sides = results.splits.assign(patient=results.splits["image"].str.partition("_")[0])
    assert set(sides.groupby(["fold", "patient"])["side"].nunique()) == {1}
    differences = (place / "runs" / "patches" / "tables" / "differences.md").read_text()
    assert "12 patients of several classes have no one right answer" in differences
    assert "resampled as wholes" in (place / "runs" / "patches" / "tables" / "table3.md").read_text()


def broken(text, old, new):
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("table", "config", "words"),
    [
        (("p00_0.jpg", "gone.jpg"), None, "1 images of"),
        (("images/p00_0.jpg", "../p00_0.jpg"), None, "does not lie below"),
        (("images/p00_0.jpg", "images/p00_0.tif"), None, "does not end with"),
        (("p00_1.jpg", "p00_0.jpg"), None, "several rows of images/p00_0.jpg"),
        (("patient,", "person,"), None, "no column 'patient'"),
        ((",p03,", ",,"), None, "has no patient - fill it in"),
        (None, ("classes: [normal, in situ, invasive]", "classes: [normal, invasive]"), "has the class 'in situ'"),
        (None, ("group: patient, ", ""), "images of groups that nobody knows"),
        (None, ("table: cohort.csv", "table: cohrt.csv"), "cannot read"),
        (None, ("models:", "protocol: slide-5fold\nmodels:"), "has no protocol 'slide-5fold'"),
        (None, ("models:", "strata: [40x]\nmodels:"), "no stratum '40x'"),
        (None, ("columns: {", "set: {"), "data.set"),
    ],
)
def test_what_is_wrong_is_named(place, harness, monkeypatch, table, config, words):
    monkeypatch.chdir(place)
    text, keys = (place / "cohort.csv").read_text(), (place / "cohort.yaml").read_text()
    (place / "other.csv").write_text(broken(text, *table) if table else text)
    keys = broken(keys, *config) if config else keys
    (place / "other.yaml").write_text(keys.replace("cohort.csv", "other.csv"))
    code, _, err = harness("run", "other.yaml", "--out", place / "never")
    assert code in {2, 3}
    assert words in err
    assert not (place / "never" / "cells").exists() or not any((place / "never" / "cells").iterdir())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('nothing')", "data set patches: KeyError: 'nothing'"),
        ("import os; os._exit(3)", "has ended its process with code 3"),
        ("yield ImageRecord('none.png', 'none', 'other', ('1',))", "names none.png, which is no image file"),
        ("yield ImageRecord(files[0], 'a', 'benign', ('1',))", "is of class 'benign', which patches has not"),
        ("yield ImageRecord(files[0], 'a', 'other', ('1', '2'))", "belongs to 1, 2; patches says patient"),
        ("yield ImageRecord(files[0], 3, 'other', ('1',))", "its records cannot be used: 0.name"),
        ("yield from ()", "no images of patches in"),
    ],
)
def test_a_data_set_that_fails_is_named_and_harms_nothing(place, harness, monkeypatch, body, words):
    monkeypatch.chdir(place)
    source = files(COHORT)["patches.py"]
    head, _, tail = source.partition("        for file in files:")
    (place / "bad.py").write_text(
        f"{head}        print('noise')\n        {body}\n\n\n@hookimpl{tail.partition('@hookimpl')[2]}"
    )
    code, out, err = harness("splits", "patches.yaml", "-o", "data.plugin=bad.py")
    assert (code in {3, 4}, out) == (True, "")
    assert words in err
