"""Against scipy and statsmodels, and formulas written out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from harness.evaluation.significance import corrected_t_test, holm, mcnemar_test, patient_decisions

FRACTIONS = st.floats(-0.5, 0.5).map(lambda x: round(x, 3))


@settings(max_examples=50, deadline=None)
@given(st.lists(FRACTIONS, min_size=3, max_size=15).filter(lambda values: np.std(values) > 1e-3))
def test_without_overlap_it_is_students_test(differences):
    found, expected = corrected_t_test(differences, 0.0), stats.ttest_1samp(differences, 0)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.freedom == len(differences) - 1


def test_the_correction_is_nadeau_and_bengios():
    differences, k, ratio = [0.01, 0.04, 0.03, 0.05, 0.02], 5, 1 / 3
    plain = stats.ttest_1samp(differences, 0).statistic
    assert corrected_t_test(differences, ratio).statistic == pytest.approx(plain / np.sqrt(1 + k * ratio))


def test_equal_folds():
    assert corrected_t_test([0.0, 0.0, 0.0], 0.25).p_value == 1
    assert corrected_t_test([0.1, 0.1, 0.1], 0.25) is None
    assert corrected_t_test([0.1], 0.25) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_statsmodels(pairs):
    one, other = (pd.Series(side, index=range(len(pairs))) for side in zip(*pairs, strict=True))
    counts = [[(one & other).sum(), (one & ~other).sum()], [(~one & other).sum(), (~one & ~other).sum()]]
    assert mcnemar_test(one, other).p_value == pytest.approx(mcnemar(counts, exact=True).pvalue)


@pytest.mark.long
@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_holm_of_an_empty_family():
    assert holm([]) == []


def test_patients_are_judged_by_their_mean():
    table = pd.DataFrame({"group": ["a", "a", "b", "b"], "label": [1, 1, 0, 0], "p_1": [0.9, 0.3, 0.6, 0.3]})
    assert patient_decisions(table.assign(threshold=0.5)).to_dict() == {"a": True, "b": True}
    assert patient_decisions(table.assign(threshold=0.4)).to_dict() == {"a": True, "b": False}
