"""Areas under curves: the compiled loops and both ways of NumPy give the same bits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from harness.evaluation import rank_estimators
from harness.evaluation.rank_estimators import Ranking, average_precision, pair_ranking


@pytest.fixture
def drawn():
    return np.random.default_rng(1).multinomial(20, np.full(20, 1 / 20), 300).astype(float)


@pytest.fixture(params=["few scores", "many scores", "a unit of one class"])
def ranking(request):
    random = np.random.default_rng(2)
    scores, units, groups = random.random(2000), random.permutation(2000) % 9, random.integers(0, 20, 2000)
    positive = random.random(2000) < 0.3 + 0.5 * scores
    if request.param == "few scores":
        scores = np.round(scores, 1)
    if request.param == "a unit of one class":
        positive[units == 4] = True
    return Ranking.of(scores, positive, groups, units)


@pytest.fixture
def compiled(monkeypatch):
    """Take the compiled loops, however little there is to do."""
    pytest.importorskip("numba")
    monkeypatch.setattr(rank_estimators, "_MUCH", 0)


@pytest.mark.parametrize("estimator_of", [average_precision, pair_ranking])
def test_compiled_loops_change_no_bit(ranking, drawn, estimator_of, request):
    plain = estimator_of(ranking)(drawn)
    request.getfixturevalue("compiled")
    assert rank_estimators.sum_precisions.machine_code is not None
    assert_array_equal(estimator_of(ranking)(drawn), plain)


def test_many_groups_change_no_bit(ranking, drawn, monkeypatch):
    by_group = pair_ranking(ranking)(drawn)
    monkeypatch.setattr(rank_estimators, "_MANY_GROUPS", 0)
    assert_array_equal(pair_ranking(ranking)(drawn), by_group)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("estimator_of", [average_precision, pair_ranking])
def test_one_draw_is_as_good_as_many(ranking, drawn, estimator_of):
    """Up to the last bit: precisions of one draw alone are added up pair by pair."""
    estimator = estimator_of(ranking)
    alone = [estimator(row[None])[0] for row in drawn[:5]]
    assert np.allclose(alone, estimator(drawn)[:5], rtol=1e-15, atol=0)


def test_a_draw_without_anybody_has_no_area(ranking, drawn):
    drawn[7] = 0
    for estimator_of in (average_precision, pair_ranking):
        assert np.isnan(estimator_of(ranking)(drawn)[7])
        assert np.isfinite(estimator_of(ranking)(drawn)[6])
