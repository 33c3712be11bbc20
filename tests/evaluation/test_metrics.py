import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from harness.evaluation.cell_metrics import measure, measure_pooled
from harness.evaluation.convergence import find_convergence
from harness.evaluation.metrics import patient_recognition_rate


def table(n=60, seed=0):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 9, n)
    p = rng.random(n)
    return pd.DataFrame(
        {
            "group": group.astype(str),
            "subgroup": [f"{a}{letter}" for a, letter in zip(group, rng.choice(["A", "B"], n), strict=True)],
            "subtype": "DC",
            "label": (group % 2).astype(int),
            "p_1": p,
            "predicted": (p > 0.5).astype(int),
            "fold": rng.integers(0, 3, n),
            "seed": rng.integers(0, 2, n),
        }
    )


@given(st.integers(0, 10_000))
def test_agrees_with_scikit_learn(seed):
    predictions = table(seed=seed)
    found = measure(predictions)
    truth, guess = predictions["label"], predictions["predicted"]
    assert found["p_img"] == pytest.approx(accuracy_score(truth, guess))
    if truth.nunique() == 2:
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, guess))
        assert found["specificity"] == pytest.approx(recall_score(truth, guess, pos_label=0))


def test_patient_rate_is_the_mean_of_patient_rates():
    predictions = pd.DataFrame({"label": [1, 1, 1, 0], "predicted": [1, 1, 0, 1], "group": list("aaab")})
    assert patient_recognition_rate(predictions, predictions["group"]) == pytest.approx((2 / 3 + 0) / 2)


def test_folds_are_pooled_or_averaged():
    predictions = table(200)
    pooled = measure_pooled(predictions, cross_validated=True)
    by_seed = [measure(part)["p_img"] for _, part in predictions.groupby("seed")]
    assert pooled["p_img"] == pytest.approx(np.mean(by_seed))
    by_fold = [measure(part) for _, part in predictions.groupby(["seed", "fold"])]
    assert pooled["auc"] == pytest.approx(np.mean([fold["auc"] for fold in by_fold]))
    averaged = measure_pooled(predictions, cross_validated=False)
    assert averaged["p_img"] == pytest.approx(np.mean([fold["p_img"] for fold in by_fold]))


def history(values):
    epochs = range(1, len(values) + 1)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "validation_balanced_accuracy": values,
            "images_seen": [10 * e for e in epochs],
            "train_seconds": [0.5 * e for e in epochs],
        }
    )


@pytest.mark.parametrize(("values", "single"), [([0.5] * 9, False), ([0.9] * 9, True), ([], False), ([np.nan], False)])
def test_dead_networks_have_not_converged(values, single):
    assert find_convergence(history(values), single_class=single) is None


def test_a_perfect_ranking_has_an_area_of_one():
    """Eleven images, nine of them positive: the steps under their curve sum up to more than one by the last bit."""
    predictions = table(n=11).assign(label=[1] * 9 + [0] * 2, p_1=np.linspace(1, 0, 11))
    assert measure(predictions)["auprc"] == 1.0
