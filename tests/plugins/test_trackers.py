"""What MLflow and TensorBoard hold of a run, read back by their own packages."""

import importlib.util
import json
import subprocess
import sys

import pytest

import harness as package
from harness.workers import observer_handle

DENSENET, MAJORITY = "densenet-200x-fold0-seed0", "majority-200x-fold0-seed0"
MLFLOW = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=f"sqlite:///{sys.argv[1]}/mlflow.db")
(experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
runs = [client.get_run(run.info.run_id) for run in client.search_runs([experiment.experiment_id])]
curves = {run.info.run_name: client.get_metric_history(run.info.run_id, "train_loss") for run in runs}
print(json.dumps({"experiment": experiment.name, "runs": {run.info.run_name: {
    "id": run.info.run_id, "status": run.info.status, "metrics": run.data.metrics, "params": run.data.params,
    "parent": run.data.tags.get("mlflow.parentRunId"),
    "curve": [[one.step, one.value] for one in curves[run.info.run_name]],
} for run in runs}}))
"""
TENSORBOARD = """
import json, sys
from pathlib import Path
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = {}
for folder in Path(sys.argv[1]).joinpath("tensorboard").iterdir():
    log = EventAccumulator(str(folder)).Reload()
    tags = log.Tags()["scalars"]
    found[folder.name] = {tag: [[one.step, one.value] for one in log.Scalars(tag)] for tag in tags}
print(json.dumps(found))
"""


def read_back(script, run):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, run], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def watched(harness, tiny, phantom, monkeypatch, tmp_path):
    """Run the tiny config with an observer, if what it needs is installed, and return the run's folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(observer_handle, "FINISH_SECONDS", 60.0)  # a new database takes seconds, a busy machine more

    def run(name, *modules):
        if missing := [module for module in modules if importlib.util.find_spec(module) is None]:
            pytest.skip(f"{', '.join(missing)} not installed; pip install 'breakhis-harness[{name}]'")
        code, _, err = harness("run", tiny, "--data", phantom, "--out", tmp_path / "run", "--observer", name)
        assert (code, "is dropped" in err) == (0, False), err
        return tmp_path / "run"

    return run


def published(run, cell):
    return json.loads((run / "cells" / cell / "cell.json").read_text())


def final_metrics(record):
    sides = {"test": record["metrics"], "validation": record["validation_metrics"]}
    named = {f"{side}/{name}": value for side, metrics in sides.items() for name, value in metrics.items()}
    return {name: value for name, value in named.items() if value is not None}


def train_losses(run):
    history = package.read_run(run).history
    return [[row.epoch, row.train_loss] for row in history[history["model"] == "densenet"].itertuples()]


def test_mlflow_has_a_run_and_a_nested_run_a_cell(watched):
    run = watched("mlflow", "mlflow", "sqlalchemy", "alembic")
    found = read_back(MLFLOW, run)
    assert found["experiment"] == "tiny"
    assert set(found["runs"]) == {"run", DENSENET, MAJORITY}
    assert {one["status"] for one in found["runs"].values()} == {"FINISHED"}
    for cell in (DENSENET, MAJORITY):
        one, record = found["runs"][cell], published(run, cell)
        assert one["parent"] == found["runs"]["run"]["id"]
        expected = final_metrics(record)
        assert {name: one["metrics"][name] for name in expected} == expected
        assert (one["params"]["model"], one["params"]["fold"]) == (record["model"], "0")
    assert found["runs"][DENSENET]["params"]["options.growth_rate"] == "4"
    assert sorted(found["runs"][DENSENET]["curve"]) == train_losses(run)


def test_tensorboard_has_a_log_a_cell(watched):
    run = watched("tensorboard", "tensorboard")
    found = read_back(TENSORBOARD, run)
    assert set(found) == {DENSENET, MAJORITY}
    for cell, scalars in found.items():
        expected = {name: pytest.approx(value) for name, value in final_metrics(published(run, cell)).items()}
        assert {name: scalars[name][-1][1] for name in expected} == expected
    assert found[DENSENET]["train_loss"] == [[epoch, pytest.approx(loss)] for epoch, loss in train_losses(run)]
