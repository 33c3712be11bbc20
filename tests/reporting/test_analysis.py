"""The star of table 3: the best of a column only where it can be told from every other model."""

import json
import shutil

import pandas as pd
import pytest

from harness.evaluation.cell_metrics import measure
from harness.reporting.accuracy import table_3
from harness.reporting.analysis import RATES, Analysis
from harness.reporting.results import read_results
from harness.reporting.table import BEST
from harness.store.run_store import RunStore


@pytest.fixture(scope="module")
def made(finished):
    """A finished run of two models in five folds."""
    return finished("-o", "protocol=accession-5fold")


@pytest.fixture
def analysis(made, tmp_path):
    """Analyse the run as if densenet had predicted what ``predict`` makes of its table."""

    def of(predict):
        run = shutil.copytree(made, tmp_path / "run")
        for cell in run.glob("cells/densenet-*"):
            table = predict(pd.read_parquet(cell / "predictions.parquet"))
            table.to_parquet(cell / "predictions.parquet", index=False)
            record = json.loads((cell / "cell.json").read_text())
            record["metrics"] = measure(table[table["side"] == "test"])
            kept = {name: value for name, value in record.items() if name not in {"files", "sha256"}}
            (cell / "cell.json").write_text(json.dumps(kept))
        return Analysis(read_results(RunStore(run)))

    return of


def all_right(table):
    malignant = table["label"] * 0.9 + 0.05
    return table.assign(predicted=table["label"], p_1=malignant, p_benign=1 - malignant)


def as_the_majority(table):
    return table.assign(predicted=1, p_1=0.7, p_benign=0.3)


def starred(analysis):
    return {(row[0], row[1]) for row in table_3(analysis).rows if any(BEST in cell for cell in row)}


def test_a_model_that_is_always_right_is_told_from_the_majority(analysis):
    found = analysis(all_right)
    assert found.best == {(metric, "200x"): "densenet" for metric in RATES}
    assert starred(found) == {("P_arp by slide", "densenet"), ("P_img", "densenet")}
    assert any("the best of its column" in note for note in table_3(found).notes)


def test_of_two_that_do_the_same_none_is_best(analysis):
    found = analysis(as_the_majority)
    assert found.best == {}
    assert starred(found) == set()
    assert not any("the best of its column" in note for note in table_3(found).notes)
