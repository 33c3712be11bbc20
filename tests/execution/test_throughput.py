"""Speeds that are read several times, and what their scatter is worth."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from harness import Throughput
from harness.execution import throughput
from harness.planning.observer import Observer
from harness.reporting.learning_cost import TIMING_DEVIATION, timing_variance
from harness.store.cells import Cell
from harness.workers.messages import Failure, Measured


def reading(speed, seconds=0.5):
    return Measured(Throughput(speed, 1.0), seconds, 0)


NO_STEPS = Measured(None, 0.5, 0)


@pytest.fixture
def measured(monkeypatch):
    """Measure the speeds of models, whose readings come from a list each."""

    def measure(answers, cells):
        asked = []

        def answer(_run, label, *_arguments):
            asked.append(label)
            return answers[label].pop(0)

        monkeypatch.setattr(throughput, "measure_model", answer)
        todo = [Cell(label, "200x", fold, 0) for label in answers for fold in range(cells)]
        store = SimpleNamespace(log_file=lambda name: name)
        return (*throughput.measure_throughputs(None, todo, store, None, Observer()), asked)

    return measure


def test_many_cells_are_worth_several_readings_in_rounds(measured):
    answers = {"a": [reading(100), reading(300), reading(110)], "b": [reading(10), reading(12), reading(11)]}
    speeds, hopeless, asked = measured({**answers, "c": [NO_STEPS]}, 10)
    assert asked == ["a", "b", "c", "a", "b", "a", "b"]
    assert hopeless == {}
    assert speeds["a"].measured.throughput.images_per_second == 110
    assert speeds["a"].readings == (50, 55, 150)
    assert speeds["c"].readings == ()


def test_few_cells_are_not(measured):
    speeds, _, asked = measured({"a": [reading(100)]}, 3)
    assert (asked, speeds["a"].readings) == (["a"], (50,))


def test_a_reading_that_fails_later_is_left_out_and_one_that_always_would_ends_the_model(measured):
    answers = {"a": [reading(100), Failure("gone"), reading(120)], "b": [Failure("no", cause="certain")]}
    speeds, hopeless, _ = measured(answers, 10)
    assert speeds["a"].readings == (50, 60)
    assert speeds["a"].measured.throughput.images_per_second == 100
    assert list(hopeless) == ["b"]


def cells_with(readings):
    return [SimpleNamespace(timings=SimpleNamespace(calibrated_readings=readings))]


def test_readings_that_agree_narrow_the_interval_of_cost():
    assert timing_variance(cells_with([])) == timing_variance(cells_with([50.0, 51.0])) == TIMING_DEVIATION**2
    near = timing_variance(cells_with([50.0, 51.0, 50.5]))
    assert math.sqrt(near) == pytest.approx(0.04)
    far = [40.0, 50.0, 65.0]
    assert timing_variance(cells_with(far)) == pytest.approx(math.pi / 2 * np.var(np.log(far), ddof=1) / 3)
    assert timing_variance([SimpleNamespace(timings=None)]) == TIMING_DEVIATION**2
