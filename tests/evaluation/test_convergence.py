"""Convergence does not depend on the budget, and a network that learns nothing never converges."""

import numpy as np
import pandas as pd
import pytest

from harness.evaluation.convergence import area_over_curve, find_convergence, plateau, time_constant


def history(values, images=100, seconds=2.0, column="validation_balanced_accuracy"):
    epochs = np.arange(1, len(values) + 1)
    return pd.DataFrame({column: values, "images_seen": epochs * images, "train_seconds": epochs * seconds})


def rising(budget, scale=5.0, rise=0.35, noise=0.0, seed=0):
    epochs = np.arange(1, budget + 1)
    curve = 0.5 + rise * (1 - np.exp(-epochs / scale))
    return curve + np.random.default_rng(seed).normal(0, noise, budget)


def mean_epochs(budget, scale=5.0):
    points = [
        find_convergence(history(rising(budget, scale, noise=0.06, seed=s)), single_class=False) for s in range(60)
    ]
    return np.mean([point.epochs for point in points if point])


def test_a_clean_curve_converges_where_it_has_made_nine_tenths_of_its_rise():
    point = find_convergence(history(rising(60)), single_class=False)
    assert point.epochs == pytest.approx(5 * np.log(10), rel=0.02)
    assert point.images == pytest.approx(100 * point.epochs)
    assert point.train_seconds == 2.0 * np.ceil(point.epochs)
    assert point.plateau == pytest.approx(0.85, abs=0.001)


def test_the_budget_does_not_move_convergence():
    assert mean_epochs(200) == pytest.approx(mean_epochs(20, scale=5.0), rel=0.1)


def test_slower_learning_shows():
    assert 1.15 < mean_epochs(80, scale=6.25) / mean_epochs(80) < 1.35


@pytest.mark.parametrize(
    "values",
    [np.full(30, 0.5), np.random.default_rng(1).normal(0.5, 0.04, 30), rising(10, scale=20.0)],
    ids=["chance", "noise about chance", "still rising at the end"],
)
def test_what_has_not_converged(values):
    assert find_convergence(history(values), single_class=False) is None


def test_a_single_class_and_no_epochs_have_not_converged():
    assert find_convergence(history(rising(60)), single_class=True) is None
    assert find_convergence(history([]), single_class=False) is None


def test_convergence_takes_an_epoch_at_least():
    assert find_convergence(history(np.full(20, 0.9)), single_class=False).epochs == 1


def test_the_time_constant_of_one_value():
    assert time_constant(np.array([0.8])) > 0
    assert plateau(np.array([0.8])) == 0.8


def test_the_area_is_the_images_that_a_network_at_chance_would_see():
    waiting = history([0.5] * 7 + [0.9] * 13, column="train_balanced_accuracy")
    assert area_over_curve(waiting, 0.9) == pytest.approx(700)
    exponential = history(rising(100), column="train_balanced_accuracy")
    assert area_over_curve(exponential, 0.85) == pytest.approx(100 / (np.exp(1 / 5) - 1), rel=0.01)
    slower = history(rising(100, scale=6.25), column="train_balanced_accuracy")
    assert area_over_curve(slower, 0.85) / area_over_curve(exponential, 0.85) == pytest.approx(1.25, abs=0.04)
