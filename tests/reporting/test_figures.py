"""Figures of many models keep their curves in sight."""

from types import SimpleNamespace

import pandas as pd
import pytest

from harness.plugin_api.schedule import FINAL_STAGE
from harness.reporting.figures import figure_7, figure_8


def results_of(n_models):
    labels = [f"densenet-{number}" for number in range(n_models)]
    rows = [
        {"stage": FINAL_STAGE, "model": label, "cell": label, "stratum": "400x", "epoch": epoch}
        | dict.fromkeys(("train_accuracy", "validation_accuracy"), 0.5 + epoch / 100)
        for label in labels
        for epoch in (1, 2, 3)
    ]
    return SimpleNamespace(history=pd.DataFrame(rows), labels=labels, run=SimpleNamespace(leaky=False))


@pytest.mark.parametrize("draw", [figure_7, figure_8])
def test_the_names_of_many_models_stand_beside_the_curves(draw):
    figure = draw(results_of(25))
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    names = legend.get_window_extent()
    assert axes.get_legend() is None
    assert names.x0 >= axes.get_window_extent().x1
    assert (names.y0 >= 0, names.y1 <= figure.bbox.height, names.x1 <= figure.bbox.width) == (True, True, True)
    assert len({line.get_color() for line in axes.get_lines()}) == 25


def test_the_names_of_few_models_stand_within_the_axes():
    figure = figure_8(results_of(3))
    assert figure.axes[0].get_legend() is not None
    assert not figure.legends
