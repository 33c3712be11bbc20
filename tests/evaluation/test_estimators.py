"""Weighted estimators against the plain definitions on tables in which patients really are repeated."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import random_predictions

from harness.evaluation.cell_metrics import METRICS, measure_pooled
from harness.evaluation.estimators import estimators


def repeated(table, weights):
    """The slow way: every group as many times as its weight says, each time as a patient of its own."""
    copies = [
        table[table["group"] == group].assign(
            group=f"{group} copy {copy}",
            subgroup=lambda rows, copy=copy: rows["subgroup"] + f" copy {copy}",
        )
        for group, weight in weights.items()
        for copy in range(weight)
    ]
    return pd.concat(copies)


def accessions_of(table):
    return pd.Index(sorted(table["group"].unique()))


@pytest.mark.parametrize("cross_validated", [True, False])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), seeds=st.integers(1, 2))
def test_weight_one_is_the_definition(cross_validated, seed, seeds):
    table = random_predictions(seed, seeds=seeds)
    made = estimators(table, accessions_of(table), cross_validated=cross_validated)
    expected = measure_pooled(table, cross_validated=cross_validated)
    assert set(made) == set(METRICS)
    for name, estimator in made.items():
        assert estimator(np.ones((1, 12)))[0] == pytest.approx(expected[name]), name


@pytest.mark.parametrize("cross_validated", [True, False])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_weights_are_repetitions(cross_validated, seed, data):
    table = random_predictions(seed)
    groups = accessions_of(table)
    weights = data.draw(st.lists(st.integers(0, 3), min_size=12, max_size=12))
    weights[:6] = [max(1, weight) for weight in weights[:6]]  # so that every fold keeps both classes
    counts = dict(zip([f"14-{n}" for n in range(12)], weights, strict=True))
    made = estimators(table, groups, cross_validated=cross_validated)
    expected = measure_pooled(repeated(table, counts), cross_validated=cross_validated)
    given_weights = np.array([[counts[name] for name in groups]], float)
    for name, estimator in made.items():
        assert estimator(given_weights)[0] == pytest.approx(expected[name]), name


def test_nothing_left_is_no_figure():
    table = random_predictions(0)
    made = estimators(table, accessions_of(table), cross_validated=True)
    assert all(np.isnan(estimator(np.zeros((1, 12)))[0]) for estimator in made.values())
