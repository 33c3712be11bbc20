"""Observers that write what a run comes to where MLflow and TensorBoard show it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import Options, RunObserver, hookimpl

_MLFLOW, _TENSORBOARD = "breakhis-harness[mlflow]", "breakhis-harness[tensorboard]"
_LONGEST_VALUE = 500  # of a parameter, in every version of MLflow
_NOT_A_NAME = re.compile(r"[^\w\-. /]", re.ASCII)
_FINAL = "final"


class MlflowOptions(Options):
    """Where to.

    Attributes:
        tracking_uri: As MLflow takes it; $MLFLOW_TRACKING_URI or else a database in the run's folder by default.
        experiment: Name of the experiment; the config's by default.
    """

    tracking_uri: str | None = None
    experiment: str | None = None


class MlflowObserver(RunObserver):
    """A run of MLflow, in an experiment named after the config, and a nested run a cell."""

    name = "mlflow"
    needs = {"mlflow": _MLFLOW, "sqlalchemy": _MLFLOW, "alembic": _MLFLOW}  # noqa: RUF012 - the base class says so
    Options = MlflowOptions

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is sent that nobody asked for
        import mlflow  # noqa: PLC0415 - an extra, which only this process has

        self._mlflow = mlflow
        self._runs: dict[str, str] = {}

    def run_started(self, run: dict[str, Any]) -> None:
        """Begin a run."""
        folder = Path(run["folder"])
        uri = self.options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder}/mlflow.db"
        self._client = self._mlflow.MlflowClient(tracking_uri=uri)
        name = self.options.experiment or run["name"]
        known = self._client.get_experiment_by_name(name)
        self._experiment = known.experiment_id if known else self._client.create_experiment(name)
        self._parent = self._begin(folder.name, {})
        facts = ("name", "comparison_key", "git_commit", "device", "protocol")
        self._log(self._parent, {"folder": run["folder"], **{fact: run[fact] for fact in facts}}, {}, 0)

    def cell_started(self, cell: dict[str, Any]) -> None:
        """Begin a nested run; a cell that is tried once more keeps its own."""
        name = cell["name"]
        if name not in self._runs:
            self._runs[name] = self._begin(name, {"mlflow.parentRunId": self._parent})
            self._log(self._runs[name], {key: cell[key] for key in ("model", "stratum", "fold", "seed")}, {}, 0)

    def epoch_ended(self, cell: dict[str, Any], epoch: dict[str, Any]) -> None:
        """Log an epoch."""
        self._log(self._runs[cell["name"]], {}, _curves(epoch), epoch["epoch"])

    def cell_ended(self, cell: dict[str, Any]) -> None:
        """Log options and metrics, and end the nested run."""
        self.cell_started(cell)  # if its model could not be trained at all, it has not been
        run = self._runs.pop(cell["name"])
        options = {f"options.{key}": value for key, value in cell["options"].items()}
        self._log(run, options, _metrics(cell), cell.get("epochs", 0))
        if cell["error"]:
            self._client.set_tag(run, "error", cell["error"]["reason"])
        self._client.set_terminated(run, "FINISHED" if cell["state"] == "done" else "FAILED")

    def run_ended(self, outcome: dict[str, Any]) -> None:
        """End every run that is left."""
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")
        state = {"finished": "FINISHED", "interrupted": "KILLED"}.get(outcome["state"], "FAILED")
        self._client.set_terminated(self._parent, state)

    def _begin(self, name: str, tags: Mapping[str, str]) -> str:
        return str(self._client.create_run(self._experiment, run_name=name, tags=dict(tags)).info.run_id)

    def _log(self, run: str, parameters: Mapping[str, Any], metrics: Mapping[str, float], step: int) -> None:
        entities, now = self._mlflow.entities, int(1000 * time.time())
        self._client.log_batch(
            run,
            metrics=[entities.Metric(_NOT_A_NAME.sub("-", key), value, now, step) for key, value in metrics.items()],
            params=[entities.Param(_NOT_A_NAME.sub("-", key), _text(value)) for key, value in parameters.items()],
        )


class TensorBoardOptions(Options):
    """Where to.

    Attributes:
        folder: Of the logs, one below it a cell; ``tensorboard`` in the run's folder by default.
    """

    folder: Path | None = None


class TensorBoardObserver(RunObserver):
    """Logs for TensorBoard, in a folder a cell."""

    name = "tensorboard"
    needs = {"tensorboard": _TENSORBOARD}  # noqa: RUF012 - the base class says so
    Options = TensorBoardOptions

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, which only this process has

        self._open: Callable[..., SummaryWriter] = SummaryWriter
        self._writers: dict[str, SummaryWriter] = {}

    def run_started(self, run: dict[str, Any]) -> None:
        """Note where to write."""
        self._folder = self.options.folder or Path(run["folder"]) / "tensorboard"

    def cell_started(self, cell: dict[str, Any]) -> None:
        """Open a log; what it holds of an earlier attempt at the cell is no longer shown."""
        if cell["name"] not in self._writers:
            self._writers[cell["name"]] = self._open(str(self._folder / cell["name"]), purge_step=0)

    def epoch_ended(self, cell: dict[str, Any], epoch: dict[str, Any]) -> None:
        """Log an epoch, so that it is seen at once."""
        self._log(cell["name"], _curves(epoch), epoch["epoch"])

    def cell_ended(self, cell: dict[str, Any]) -> None:
        """Log options and metrics, and close the log."""
        self.cell_started(cell)  # if its model could not be trained at all, it has not been
        writer = self._writers[cell["name"]]
        writer.add_text("options", json.dumps(cell["options"]))
        if cell["error"]:
            writer.add_text("error", cell["error"]["reason"])
        self._log(cell["name"], _metrics(cell), cell.get("epochs", 0))
        self._writers.pop(cell["name"]).close()

    def run_ended(self, outcome: dict[str, Any]) -> None:
        """Close every log that is left."""
        del outcome
        for writer in self._writers.values():
            writer.close()

    def _log(self, cell: str, values: Mapping[str, float], step: int) -> None:
        writer = self._writers[cell]
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()


def _curves(epoch: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of an epoch by name; those of a stage before the last under the stage's."""
    under = "" if epoch["stage"] == _FINAL else f"{epoch['stage']}/"
    found = {key: value for key, value in epoch.items() if key not in {"stage", "epoch"}}
    return {f"{under}{key}": float(value) for key, value in found.items() if value is not None}


def _metrics(cell: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of a finished cell as ``test/NAME`` and ``validation/NAME``; none of a failed one."""
    sides = {"test": cell.get("metrics"), "validation": cell.get("validation_metrics")}
    return {
        f"{side}/{name}": float(value)
        for side, metrics in sides.items()
        for name, value in (metrics or {}).items()
        if value is not None
    }


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:_LONGEST_VALUE]


@hookimpl
def harness_register_observers(register: Callable[[type[RunObserver]], None]) -> None:
    """Offer the observers of this file."""
    for observer in (MlflowObserver, TensorBoardObserver):
        register(observer)
