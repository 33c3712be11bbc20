"""Metrics under all draws of a table's patients, kept for intervals and differences."""

import numpy as np
import pytest
from tables import random_predictions

from harness.evaluation.bootstrap import bootstrap_interval, draw_patients, interval_of
from harness.evaluation.estimators import estimators
from harness.evaluation.metric_intervals import Resampled
from harness.evaluation.metric_names import METRIC_NAMES
from harness.evaluation.metrics import brier_score


@pytest.fixture
def patients():
    return draw_patients(random_predictions(1, groups=16), draws=200)


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_an_interval_is_that_of_the_estimator(patients, metric):
    table = random_predictions(1, groups=16)
    made = estimators(table, patients.groups, cross_validated=True)[metric]
    assert Resampled(table, patients, cross_validated=True).interval(metric) == bootstrap_interval(made, patients)


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_a_model_differs_from_itself_by_nothing(patients, metric):
    model = Resampled(random_predictions(1, groups=16), patients, cross_validated=True)
    found = model.minus(model, metric)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_a_difference_is_draw_by_draw(patients):
    table = random_predictions(1, groups=16)
    surer = table.assign(p_1=0.5 + (table["p_1"] - 0.5) / 2)
    one, other = (Resampled(each, patients, cross_validated=True) for each in (table, surer))
    found = one.minus(other, "brier")
    made = [estimators(each, patients.groups, cross_validated=True)["brier"] for each in (table, surer)]
    draws = made[0](patients.weights) - made[1](patients.weights)
    assert found.value == pytest.approx(brier_score(table) - brier_score(surer))
    assert found == interval_of(found.value, draws, patients.smallest_class)
    assert np.std(draws) > 0


def test_a_metric_is_computed_once(patients, monkeypatch):
    model = Resampled(random_predictions(1, groups=16), patients, cross_validated=True)
    first = model.interval("auc")
    monkeypatch.setattr(model, "_estimators", {})
    assert model.interval("auc") == first
    with pytest.raises(KeyError):
        model.interval("brier")
