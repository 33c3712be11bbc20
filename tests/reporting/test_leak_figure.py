from harness.reporting.figures import image_bytes
from harness.reporting.leak_figure import leak_figure
from harness.reporting.table import Table


def record(protocol, value, low=None, high=None):
    place = {"quantity": "value", "metric": "balanced_accuracy", "model": "$x_1", "stratum": "200x"}
    return {**place, "protocol": protocol, "value": value, "low": low, "high": high}


def drawn(*records):
    return leak_figure(Table(name="leak", title="Accuracy", columns=[], rows=[], notes=[], records=list(records)))


def test_protocols_are_told_apart_and_intervals_may_be_missing():
    figure = drawn(record("paper-random", 0.9, 0.8, 0.95), record("holdout", 0.7))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["paper-random", "holdout"]
    assert image_bytes(figure, "svg").startswith(b"<?xml")


def test_a_value_that_could_not_be_computed_is_left_out():
    figure = drawn(record("paper-random", 0.9, 0.8, 0.95), record("holdout", None))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["paper-random"]
