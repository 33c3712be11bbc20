"""As many cells at once as pay, and no more."""

import json
from types import SimpleNamespace

import pytest
from small_runs import prepare_environment

from harness.api.runs import RunRequest
from harness.errors import CellError
from harness.execution import concurrency as jobs
from harness.execution.measurements import StudyMeasurements
from harness.planning.observer import Observer
from harness.plugin_api.model import Throughput
from harness.store.run_store import RunStore
from harness.training.torch_model import TorchModel


class Watcher:
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


class FakeRun:
    """A run of networks."""

    device = None

    def entry(self, _label):
        return SimpleNamespace(registered=SimpleNamespace(model=TorchModel))


class Speed:
    def __init__(self, images_per_second, peak_memory_bytes=1):
        self.throughput = images_per_second and Throughput(images_per_second, images_per_second)
        self.peak_memory_bytes = peak_memory_bytes


@pytest.mark.parametrize(
    ("gains", "most", "cells", "chosen"),
    [
        ({2: 1.9, 4: 3.0, 8: 3.1}, 16, 100, 4),
        ({2: 1.05}, 16, 100, 1),
        ({2: 1.9, 4: 3.0}, 3, 100, 2),  # memory or cores say stop
        ({2: 1.9}, 16, 3, 2),  # no more than there are cells
    ],
)
def test_doubling_stops_where_it_does_not_pay(monkeypatch, gains, most, cells, chosen):
    monkeypatch.setattr(jobs, "_most", lambda _run, _speeds: most)
    monkeypatch.setattr(jobs, "list_devices", lambda _device: ["cpu"])
    monkeypatch.setattr(jobs, "_together", lambda _run, label, n, _study: {"slow": 10}[label] * gains[n])
    run, watcher = FakeRun(), Watcher()
    speeds = {"slow": Speed(10), "fast": Speed(50), "none": Speed(None)}
    assert jobs.choose_jobs(run, cells, speeds, watcher, StudyMeasurements()) == chosen
    assert watcher.notes


def test_models_without_steps_take_what_there_is(monkeypatch):
    monkeypatch.setattr(jobs, "_most", lambda _run, _speeds: 4)
    monkeypatch.setattr(jobs, "list_devices", lambda _device: ["cuda:0", "cuda:1"])
    run = FakeRun()
    assert jobs.choose_jobs(run, 100, {"none": Speed(None)}, Watcher(), StudyMeasurements()) == 8


def test_what_cells_at_once_reach_is_measured_once_for_a_study(monkeypatch, tiny, phantom, shared_cache, tmp_path):
    prepare_environment(monkeypatch, shared_cache, tmp_path)
    trained = []

    class Training:
        def __init__(self, order, jobs):
            trained.append((order.size, jobs))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def images_per_second(self, _seconds):
            if len(trained) == 1:
                raise CellError("does not fit")
            return 7.0

    monkeypatch.setattr(jobs, "ConcurrentTraining", Training)
    study = StudyMeasurements()

    def together(count, *overrides):
        request = RunRequest.of(tiny, Observer(), {"data": phantom, "out": tmp_path / "r", "overrides": overrides})
        ((folder, config),) = request.runs.items()
        return jobs._together(request._prepared(RunStore(folder), config), "densenet", count, study)

    assert together(2) == 0  # a failure may not come again
    assert [together(2), together(2, "protocol=slide-5fold"), together(4), together(2, "pixels.size=24")] == [7.0] * 4
    assert trained == [(32, 2), (32, 2), (32, 4), (24, 2)]


@pytest.mark.long
def test_auto_through_the_command_line(harness, tiny, phantom, tmp_path):
    code, _, err = harness("run", tiny, "--data", phantom, "--out", tmp_path / "r", "--jobs", "auto")
    assert code == 0, err
    record = json.loads((tmp_path / "r/cells/densenet-200x-fold0-seed0/cell.json").read_text())
    assert record["concurrency"] in (1, 2)
    assert harness("run", tiny, "--data", phantom, "--out", tmp_path / "r", "--jobs", "many")[0] == 2
