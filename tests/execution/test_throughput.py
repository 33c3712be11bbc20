"""Speeds that are read several times, and what their scatter is worth."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness import Throughput
from harness.execution import throughput
from harness.execution.measurements import StudyMeasurements
from harness.planning.observer import Observer
from harness.reporting.learning_cost import TIMING_DEVIATION, timing_variance
from harness.store.cells import Cell
from harness.workers.messages import Failure, Measured


def reading(speed, seconds=0.5):
    return Measured(Throughput(speed, 1.0), seconds, 0)


NO_STEPS = Measured(None, 0.5, 0)


@pytest.fixture
def told():
    """The seconds of the calibration workload that the models to be measured are given."""
    return []


@pytest.fixture
def measured(monkeypatch, told):
    """Measure the speeds of models, whose readings come from a list each."""

    def measure(answers, cells, study=None, folder="run"):
        asked = []

        def answer(_run, label, *_arguments, calibration_seconds=None):
            asked.append(label)
            told.append(calibration_seconds)
            return answers[label].pop(0)

        monkeypatch.setattr(throughput, "measure_model", answer)
        monkeypatch.setattr(
            throughput, "model_keys", lambda _run, labels, _cache: dict(zip(labels, labels, strict=True))
        )
        todo = [Cell(label, "200x", fold, 0) for label in answers for fold in range(cells)]
        store = SimpleNamespace(log_file=lambda name: name, folder=Path(folder))
        study = study or StudyMeasurements()
        return (*throughput.measure_throughputs(None, todo, store, None, Observer(), study), asked)

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


def test_later_runs_of_a_study_take_what_an_earlier_one_has_measured(measured):
    study = StudyMeasurements()
    answers = {"a": [reading(100), reading(300), reading(110)]}
    first, _, _ = measured(answers, 10, study, "slide-5fold")
    second, _, asked = measured({**answers, "b": [reading(7)]}, 3, study, "holdout")
    assert asked == ["b"]
    assert first["a"].measured_in is None
    assert [second[label].measured_in for label in "ab"] == ["slide-5fold", None]
    assert (second["a"].readings, second["a"].measured) == (first["a"].readings, first["a"].measured)


def test_models_without_steps_are_calibrated_beside_their_cells(measured):
    study = StudyMeasurements()
    measured({"a": [NO_STEPS]}, 3, study, "slide-5fold")
    again, _, asked = measured({"a": [NO_STEPS]}, 3, study, "holdout")
    assert (asked, again["a"].measured_in) == (["a"], None)


def test_models_without_steps_share_a_calibration_and_others_have_their_own(measured, told):
    answers = {"a": [NO_STEPS], "b": [reading(100, 0.7)], "c": [NO_STEPS]}
    speeds, _, _ = measured(answers, 3)
    assert told == [None, 0.5, 0.5]
    assert [speeds[label].measured.calibration_seconds for label in "abc"] == [0.5, 0.7, 0.5]


def test_too_few_readings_and_failures_are_not_taken(measured):
    study = StudyMeasurements()
    measured({"a": [reading(100)], "b": [Failure("gone")]}, 3, study)
    few, _, asked = measured({"a": [reading(1), reading(2), reading(3)], "b": [reading(5)] * 3}, 10, study)
    assert asked == ["a", "b", "a", "b", "a", "b"]
    assert few["a"].readings == (0.5, 1.0, 1.5)
    assert [few[label].measured_in for label in "ab"] == [None, None]


def cells_with(readings):
    return [SimpleNamespace(timings=SimpleNamespace(calibrated_readings=readings))]


def test_readings_that_agree_narrow_the_interval_of_cost():
    assert timing_variance(cells_with([])) == timing_variance(cells_with([50.0, 51.0])) == TIMING_DEVIATION**2
    near = timing_variance(cells_with([50.0, 51.0, 50.5]))
    assert math.sqrt(near) == pytest.approx(0.04)
    far = [40.0, 50.0, 65.0]
    assert timing_variance(cells_with(far)) == pytest.approx(math.pi / 2 * np.var(np.log(far), ddof=1) / 3)
    assert timing_variance([SimpleNamespace(timings=None)]) == TIMING_DEVIATION**2
    # a cell that another kind of machine did has none
    assert timing_variance([*cells_with([]), *cells_with(far)]) == timing_variance(cells_with(far))
