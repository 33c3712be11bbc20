import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups
from tables import random_predictions

from harness.evaluation.changes import (
    Change,
    accuracy_change,
    clustered_mean,
    confidence_change,
    cost_change,
    judge,
    pair_images,
)
from harness.evaluation.metrics import balanced_accuracy


@pytest.mark.parametrize("seed", range(12))
def test_the_standard_error_is_statsmodels(seed):
    random = np.random.default_rng(seed)
    patient, cell = random.integers(0, 9, 200), random.integers(0, 6, 200)
    values = random.normal(0, 1, 200) + random.normal(0, 1, 9)[patient] + random.normal(0, 1, 6)[cell]
    fit = sm.OLS(values, np.ones(200)).fit()
    both, of_patients, of_cells = (float(part[0, 0]) for part in cov_cluster_2groups(fit, patient, cell))
    found = clustered_mean(values, np.zeros(200, int), (patient, cell))
    assert found.value == pytest.approx(values.mean())
    assert found.standard_error**2 == pytest.approx(max(both, of_patients, of_cells))
    assert found.freedom == 5


def test_accuracy_is_balanced_and_paired():
    base, new = random_predictions(0), random_predictions(0)
    new["predicted"] = new["label"]
    change = accuracy_change(pair_images(base, new))
    assert change.value == pytest.approx(1 - balanced_accuracy(base))
    assert accuracy_change(pair_images(base, base)) == Change(0.0, 0.0, 1)


def test_confidence_is_the_probability_of_the_right_class():
    base, new = random_predictions(0), random_predictions(0)
    new["p_1"] = new["label"] * 0.98 + 0.01
    new["p_0"], base["p_0"] = 1 - new["p_1"], 1 - base["p_1"]
    right = base["p_1"].where(base["label"] == 1, 1 - base["p_1"])
    expected = 0.99 - right.groupby(base["label"]).mean().mean()
    assert confidence_change(pair_images(base, new)).value == pytest.approx(expected)


def test_one_cell_says_nothing_about_the_noise_of_training():
    base, new = random_predictions(0, folds=1), random_predictions(0, folds=1)
    new["predicted"] = 1 - new["predicted"]
    change = accuracy_change(pair_images(base, new))
    assert change.standard_error is None
    assert change.interval() == (-np.inf, np.inf)


def test_costs():
    base, new = [100.0, 120.0, 90.0], [200.0, 240.0, 180.0]
    change = cost_change(base, new)
    assert change.value == pytest.approx(-np.log(2))
    assert change.standard_error is None  # every cell costs exactly twice as much: nothing is known about chance
    assert cost_change(base, new, 0.01).standard_error == pytest.approx(0.1)
    assert cost_change(base, base, 0.1) == Change(0.0, 0.0, 1)
    assert cost_change(base, [90.0, 130.0, 100.0], 0.04).standard_error > 0.2


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (Change(0.0, 0.0, 1), "same"),
        (Change(0.001, 0.001, 30), "same"),
        (Change(-0.10, 0.01, 30), "worse"),
        (Change(0.10, 0.01, 30), "better"),
        (Change(-0.10, 0.20, 30), "cannot tell"),
        (Change(-0.10, None, 0), "cannot tell"),
        (Change(-0.30, 0.0, 30), "worse"),
        (Change(0.30, 0.0, 30), "better"),
    ],
)
def test_verdicts(change, verdict):
    assert judge([change], [0.02])[0].verdict == verdict


def test_a_family_is_judged_as_a_whole():
    """What is worse alone cannot be told among twenty that chance made as well."""
    suspect, others = Change(-0.05, 0.022, 30), [Change(0.0, 0.1, 30)] * 20
    assert judge([suspect], [0.001])[0].verdict == "worse"
    assert judge([suspect, *others], [0.001] * 21)[0].verdict == "cannot tell"
