import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from harness.evaluation.threshold import choose_threshold, chosen_thresholds, decided_at

IMAGES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=30)


@settings(max_examples=30)
@given(IMAGES.filter(lambda rows: len({label for label, _ in rows}) == 2))
def test_no_threshold_does_better(rows):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    table = pd.DataFrame({"label": labels, "p_1": scores / 20})

    def merit(threshold):
        return balanced_accuracy_score(labels, (scores / 20 >= threshold).astype(int))

    chosen = choose_threshold(table)
    between_scores = np.arange(42) / 40
    assert merit(chosen) >= max(map(merit, between_scores)) - 1e-12
    if merit(0.5) == merit(chosen):
        assert chosen == 0.5


def test_one_class_chooses_nothing():
    assert choose_threshold(pd.DataFrame({"label": [1, 1], "p_1": [0.2, 0.9]})) == 0.5


def test_each_cell_uses_its_own_validation():
    rows = [("validation", 0, 0, 0.1), ("validation", 0, 1, 0.3), ("test", 0, 1, 0.25), ("test", 0, 0, 0.15)]
    rows += [("validation", 1, 0, 0.7), ("validation", 1, 1, 0.9), ("test", 1, 1, 0.85), ("test", 1, 0, 0.75)]
    table = pd.DataFrame(rows, columns=["side", "fold", "label", "p_1"])
    table = table.assign(model="m", stratum="40x", seed=0)
    validation, tested = (table[table["side"] == side] for side in ("validation", "test"))
    decided = decided_at(tested, chosen_thresholds(validation))
    assert list(decided["predicted"]) == list(decided["label"])
    assert len(decided) == 4
