"""What it costs that every cell has a process of its own."""

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

from harness.planning.models import ModelEntry
from harness.plugin_api.discovery import discover
from harness.plugin_api.schedule import Schedule
from harness.workers.handle import WorkerHandle
from harness.workers.messages import FitTask, Fitted, ImageRows, LabeledRows, ModelJob
from harness.workers.worker import answer_task

MODELS, CELLS = 5, 10


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.fixture
def entry():
    return ModelEntry("majority", discover().find("majority"), {})


@pytest.fixture
def next_task(tmp_path, entry):
    """Tasks of a model that does nothing, each with a folder of its own."""
    np.save(tmp_path / "array.npy", np.zeros((64, 3, 32, 32), np.uint8))
    rows = ImageRows(tmp_path / "array.npy", np.arange(64))
    labeled = LabeledRows(rows, np.arange(64) % 2)
    classes = ("benign", "malignant")
    setting = ModelJob(
        {}, classes, 32, "cpu", 1, Schedule(), {}, tmp_path, entry.registered.source, pixels="", execution_mode="eager"
    )
    folders = iter(range(1000))

    def make():
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        return FitTask(setting, 0, tmp_path / "own", labeled, labeled, rows, folder)

    return make


@pytest.mark.usefixtures("only_with_everything")
def test_the_cost_of_isolation(entry, next_task, tmp_path, record_property):
    plugin, name = entry.registered.plugin, entry.registered.model.name

    def in_this_process():
        with (tmp_path / "answer").open("wb") as answer:
            tasks = SimpleNamespace(recv=next_task, close=lambda: None)
            answer_task(plugin, name, tasks, answer.fileno())

    def in_a_worker(worker):
        worker.send(next_task())
        assert isinstance(worker.receive(), Fitted)

    def first_cell_of_a_model():
        workers.append(WorkerHandle("mean", entry.registered.reference, tmp_path / "log"))
        in_a_worker(workers[-1])

    workers = []  # the least of several, since other work on the machine only ever adds
    first = timed(first_cell_of_a_model)
    alone = min(timed(in_this_process) for _ in range(CELLS))
    start = min(timed(first_cell_of_a_model) for _ in range(MODELS)) - alone
    cell = min(timed(lambda: in_a_worker(workers[0])) for _ in range(CELLS)) - alone
    for worker in workers:
        worker.kill()
    record_property("first model's first cell, with the one preloading, seconds", f"{first:.2f}")
    record_property(f"an empty cell in this process, least of {CELLS}, seconds", f"{alone:.3f}")
    record_property(f"added by a worker for a model's first cell, least of {MODELS}, seconds", f"{start:.3f}")
    record_property(f"added by a worker for another cell, least of {CELLS}, seconds", f"{cell:.3f}")
    record_property("cores", os.cpu_count())
    assert start <= 0.5
    assert cell <= 0.1
