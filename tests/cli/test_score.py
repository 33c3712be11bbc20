"""Predictions made elsewhere become a row, held to the same division."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from harness.reporting.results import read_results
from harness.store.run_store import RunStore


@pytest.fixture(scope="module")
def run(finished):
    return finished("-o", "protocol=accession-5fold", "-o", "schedule.epochs=1")


@pytest.fixture(scope="module")
def wanted(run):
    """The test images, each once a fold and seed."""
    tables = [pd.read_parquet(file) for file in run.glob("cells/majority-*/predictions.parquet")]
    test = pd.concat(tables)
    return test[test["side"] == "test"][["image", "fold", "seed", "label"]]


@pytest.fixture
def score(harness, tiny, phantom, run, tmp_path):
    """Score a table against a copy of the run: the exit code, what was printed, and the folder."""

    def call(table, *arguments, into="copy"):
        file, folder = tmp_path / "mine.csv", tmp_path / "run"
        if into == "copy" and not folder.exists():
            shutil.copytree(run, folder)
        table.to_csv(file, index=False)
        options = ("-o", "protocol=accession-5fold", "-o", "schedule.epochs=1", "--data", phantom, "--out", folder)
        code, out, err = harness("score", file, tiny, *options, *arguments)
        return code, out, err, folder

    return call


def guessed(wanted):
    p = np.where(wanted["label"] == 1, 0.8, 0.3)
    return wanted.assign(p_benign=1 - p, p_malignant=p).drop(columns="label")


def test_it_is_a_row_marked_as_not_trained_here(score, wanted):
    code, out, err, folder = score(guessed(wanted))
    assert code == 0, err
    assert "| scored:mine " in out
    assert "NOT TRAINED HERE: scored:mine, predictions from mine.csv" in out
    row = next(line for line in out.split("Table 5")[1].splitlines() if "scored:mine" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == ["-"] * 7
    results = read_results(RunStore(folder))
    assert results.labels == ["majority", "densenet", "scored:mine"]
    assert {cell.metrics["p_img"] for cell in results.cells_of("scored:mine")} == {1.0}
    assert (results.predictions["model"] == "scored:mine").sum() == len(wanted)


def test_status_report_and_compare_know_it(score, harness, wanted):
    *_, folder = score(guessed(wanted), "--name", "theirs")
    assert "10 done" not in harness("status", folder)[1]
    assert "15 done" in harness("status", folder)[1]
    assert harness("report", folder, "--images", "none")[0] == 0
    assert "scored:theirs" in (folder / "report.html").read_text()
    code, out, _ = harness("compare", folder, folder)
    assert (code, "scored:theirs" in out or "unchanged" in out or "same" in out) == (0, True)


def test_it_needs_no_run_to_join(score, wanted):
    code, out, err, folder = score(guessed(wanted), into="nothing")
    assert code == 0, err
    assert read_results(RunStore(folder)).labels == ["scored:mine"]
    assert "Table 3" in out


def test_a_run_may_be_added_to_it(score, harness, tiny, phantom, wanted):
    *_, folder = score(guessed(wanted), into="nothing")
    given = ("-o", "protocol=accession-5fold", "-o", "schedule.epochs=1", "--data", phantom, "--out", folder)
    code, out, err = harness("run", tiny, *given, "--models", "majority")
    assert code == 0, err
    assert "| scored:mine " in out
    assert "| majority " in out


def test_names_may_be_those_of_files_and_one_probability_is_enough(score, wanted):
    table = guessed(wanted).drop(columns="p_benign")
    code, _, err, _ = score(table.assign(image="somewhere/" + table["image"] + ".PNG"))
    assert code == 0, err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.iloc[3:], "3 rows are missing"),
        (lambda table: pd.concat([table, table.iloc[:1]]), "stand there twice"),
        (lambda table: table.assign(fold=(table["fold"] + 1) % 5), "are no test images of that fold and seed"),
        (lambda table: pd.concat([table, table.iloc[:1].assign(image="another")]), "no test images of that fold"),
        (lambda table: table.drop(columns="fold"), "no column 'fold'"),
        (lambda table: table.drop(columns=["p_benign", "p_malignant"]), "no column 'p_benign'"),
        (lambda table: table.assign(p_malignant=table["p_malignant"] * 2), "line 2: p_benign, p_malignant are"),
        (lambda table: table.assign(p_malignant="high"), "line 2: p_malignant is 'high', which is no number"),
        (lambda table: table.assign(fold=0.5), "fold 0.5 is no whole number"),
        (lambda table: table.assign(seed="nan"), "seed is 'nan'"),
    ],
)
def test_what_is_not_every_test_image_once_is_refused(score, wanted, change, words):
    code, _, err, folder = score(change(guessed(wanted)))
    assert code == 2
    assert words in err
    assert not list(folder.glob("cells/scored*"))


def test_another_division_is_refused(score, wanted):
    code, _, err, _ = score(guessed(wanted).assign(seed=1), "-o", "seeds=[1]")
    assert code == 2
    assert "are no test images" in err or "cannot share a table" in err


def test_a_file_that_is_none_is_refused(harness, tiny, tmp_path):
    assert harness("score", tmp_path / "none.csv", tiny)[0] == 2
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00image")
    assert harness("score", tmp_path / "bytes.csv", tiny)[0] == 2


def test_a_row_that_would_take_anothers_folder_is_refused(score, wanted):
    code, _, err, folder = score(guessed(wanted), "--name", "a b")
    assert code == 0, err
    code, _, err, _ = score(guessed(wanted), "--name", "a/b")
    assert (code, "would share a folder" in err) == (2, True)
    assert score(guessed(wanted), "--name", "x" * 240)[0] == 2
    assert read_results(RunStore(folder)).labels == ["majority", "densenet", "scored:a b"]


def test_how_the_others_were_made_stays_recorded(score, wanted, run):
    *_, folder = score(guessed(wanted), "-o", "threads=1")
    before, after = (json.loads((where / "run.json").read_text()) for where in (run, folder))
    assert after["config"].pop("models").keys() - before["config"].pop("models").keys() == {"scored:mine"}
    assert after == {**before, "schema_version": after["schema_version"]}


def test_rows_of_other_magnifications_are_left_aside_and_explain_passes_the_row_over(score, harness, wanted):
    more = guessed(wanted)
    more = pd.concat([more, more.assign(image=more["image"].str.replace("-200-", "-40-"))])
    code, _, err, folder = score(more)
    assert code == 0, err
    code, _, err = harness("explain", folder, "--models", "scored:mine")
    assert (code, "its predictions were made elsewhere" in err) == (0, True)


def test_half_is_malignant_as_at_every_other_threshold(score, wanted):
    even = guessed(wanted).assign(p_benign=0.5, p_malignant=0.5)
    *_, folder = score(even)
    metrics = [cell.metrics for cell in read_results(RunStore(folder)).cells_of("scored:mine")]
    assert {one["sensitivity"] for one in metrics} == {1.0}


@pytest.mark.parametrize(
    "write",
    [
        lambda table, file: table.to_csv(file, index=False, sep=";", decimal=","),
        lambda table, file: table.to_csv(file, index=False, sep="\t"),
        lambda table, file: file.write_text("sep=;\n" + table.to_csv(index=False, sep=";")),
        lambda table, file: table.rename(columns=str.upper).to_csv(file, index=False, encoding="utf-8-sig"),
        lambda table, file: file.write_text(table.to_csv(index=False, lineterminator="\r\n") + ",,,,\r\n"),
        lambda table, file: table.assign(image="C:\\data\\" + table["image"] + ".png").to_csv(file, index=False),
    ],
)
def test_tables_as_programs_write_them_are_read(harness, tiny, wanted, run, phantom, tmp_path, write):
    file, folder = tmp_path / "mine.csv", shutil.copytree(run, tmp_path / "run")
    write(guessed(wanted), file)
    options = ("-o", "protocol=accession-5fold", "-o", "schedule.epochs=1", "--data", phantom, "--out", folder)
    code, _, err = harness("score", file, tiny, *options)
    assert code == 0, err


def test_two_columns_of_one_name_are_refused(harness, tiny, tmp_path):
    (tmp_path / "mine.csv").write_text("image,fold,seed,p_malignant,P_malignant\nx,0,0,0.1,0.2\n")
    code, _, err = harness("score", tmp_path / "mine.csv", tiny)
    assert (code, "the column 'p_malignant' twice" in err) == (2, True)
