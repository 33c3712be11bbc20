import numpy as np
import pandas as pd
from tables import random_predictions

from harness.evaluation.bootstrap import bootstrap_interval, draw_patients
from harness.evaluation.estimators import estimators


def test_every_draw_keeps_the_number_of_patients_of_each_class():
    patients = draw_patients(random_predictions(0, groups=20))
    assert patients.weights.shape == (2000, 20)
    for label in (0, 1):
        assert (patients.weights[:, patients.classes[:, label]].sum(1) == 10).all()


def test_draws_depend_on_nothing_but_the_patients():
    table = random_predictions(0)
    shuffled = table.sample(frac=1, random_state=1).assign(p_1=0.5)
    assert (draw_patients(table).weights == draw_patients(shuffled).weights).all()
    assert (draw_patients(table).weights != draw_patients(table, seed=1).weights).any()


def test_the_interval_is_that_of_a_slow_bootstrap():
    """Against resampled tables, patient by patient, at the level that the expanded interval uses."""
    table = random_predictions(3, groups=16)
    patients = draw_patients(table, draws=400)
    estimator = estimators(table, patients.groups, cross_validated=True)["p_img"]
    right = (table["predicted"] == table["label"]).groupby(table["group"]).agg(["sum", "size"])
    slow = []
    for weights in patients.weights:
        drawn = right.loc[np.repeat(patients.groups.to_numpy(), weights.astype(int))]
        slow.append(drawn["sum"].sum() / drawn["size"].sum())
    interval = bootstrap_interval(estimator, patients)
    # n = 8 of a class: Phi(-sqrt(8/7) t(0.975; 7)) = 0.0057
    assert np.allclose([interval.low, interval.high], np.quantile(slow, [0.00574, 1 - 0.00574]), atol=0.003)
    assert interval.low <= interval.value <= interval.high


def test_one_patient_of_a_class_gives_no_interval():
    images = pd.DataFrame({"group": ["a", "b", "c"], "label": [0, 1, 1]})
    patients = draw_patients(images)
    assert np.isnan(bootstrap_interval(lambda weights: weights.sum(1), patients).low)
