"""What a report is made of: chosen images, curves, statements, checklists and charts."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.run_config import ModelSettings
from harness.evaluation.bootstrap import draw_patients
from harness.evaluation.roc import GRID, roc_curve
from harness.reporting.analysis import Analysis
from harness.reporting.gallery import choose_images
from harness.reporting.own_paths import without_folders
from harness.reporting.report import leakage
from harness.reporting.report.chart import (
    canvas,
    colour,
    legend_below,
    line,
    mark,
    models_legend,
    name_rows,
    svg_of,
)
from harness.reporting.report.checklist import checklist
from harness.reporting.report.curve_charts import calibration_chart
from harness.reporting.report.leakage import leakage_statement
from harness.reporting.report.making import command, facts
from harness.reporting.results import read_results
from harness.store.run_store import RunStore

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "demo"


@pytest.fixture(scope="module")
def results():
    return read_results(RunStore(REFERENCE))


def test_the_gallery_is_of_networks_and_of_many_accessions(results):
    chosen = choose_images(results)
    assert {one.model for one in chosen} == {"lbp-svm", "densenet", "densenet-se", "deep-transfer"}
    for one in chosen:
        assert (one.predicted == one.label) is (one.kind == "right") or one.kind == "least sure"
    wrong = [one for one in chosen if (one.model, one.kind) == ("densenet", "confidently wrong")]
    assert len({one.group for one in wrong}) == len(wrong) == 6
    doubts = [abs(one.probability - 0.5) for one in wrong]
    assert doubts == sorted(doubts, reverse=True)


def test_a_model_that_is_always_right_has_no_wrong_image(results):
    right = results.predictions.assign(predicted=results.predictions["label"])
    kinds = {one.kind for one in choose_images(replace(results, predictions=right))}
    assert kinds == {"least sure", "right"}


def test_the_area_under_the_averaged_curve_is_the_auc_of_the_tables(results):
    tested = results.test[(results.test["model"] == "densenet") & (results.test["stratum"] == "200x")]
    curve = roc_curve(tested, draw_patients(tested))
    area = float(((curve.sensitivity[1:] + curve.sensitivity[:-1]) / 2 * (GRID[1:] - GRID[:-1])).sum())
    cells = [cell.metrics["auc"] for cell in results.cells_of("densenet") if cell.stratum == "200x"]
    assert area == pytest.approx(sum(cells) / len(cells), abs=0.02)  # a grid of hundredths cuts corners
    assert (curve.low <= curve.high).all()


def test_the_leakage_statement_counts_the_stored_sides(results):
    assert "In none of them an accession has images" in " ".join(leakage_statement(results))
    moved = results.splits.copy()
    one = results.images[results.images["group"] == results.images["group"].iloc[0]]["name"]
    moved.loc[moved["image"] == one.iloc[0], "side"] = "train"
    moved.loc[moved["image"] == one.iloc[1], "side"] = "test"
    changed = replace(results, splits=moved)
    assert "1 accessions have images on two sides" in " ".join(leakage_statement(changed))


def test_checklists_say_what_is_for_the_authors(results):
    items = checklist(Analysis(results))
    assert {item.guideline for item in items} == {"TRIPOD+AI", "CLAIM 2024"}
    filled = {item.number for item in items if item.guideline == "TRIPOD+AI" and item.answer}
    assert {"7", "12a", "12c", "12d", "12e", "12g", "15", "18f", "20a", "21", "22", "23a", "23b"} == filled
    ethics = next(item for item in items if item.topic == "Ethical approval")
    assert ethics.answer is None


def test_absolute_paths_are_cut_down_to_names():
    given = {"weights": "/home/me/w.safetensors", "deep": [{"folder": "/data"}], "name": "a/b", "number": 1}
    assert without_folders(given) == {
        "weights": "w.safetensors",
        "deep": [{"folder": "data"}],
        "name": "a/b",
        "number": 1,
    }


def test_what_reads_like_a_coordinate_or_a_colour_in_a_name_stays():
    labels = ["lr-0.001", "lr-0.0001", "_under", "#111111", "x" * 40]
    with canvas(2.0) as (figure, panels):
        name_rows(panels[0], labels)
        legend_below(figure, models_legend(labels, labels, marks=True, lines=True))
        svg = svg_of(figure, "x", "A title of 0.00012", "A description of #0072b2", {})
    for words in ("lr-0.001<", "lr-0.0001<", "#111111<", "0.00012", "of #0072b2", f"{'x' * 27}…"):
        assert words in svg
    assert svg.count("_under") == 2  # the row, and the legend


def test_no_two_models_of_a_dozen_look_alike():
    looks = {(colour(place), mark(place), line(place)) for place in range(24)}
    assert len(looks) == 24
    assert len({(colour(place), mark(place)) for place in range(24)}) == 24


def test_counts_are_of_what_was_used_and_tested(results):
    kept = results.predictions[(results.predictions["fold"] == 0) & (results.predictions["stratum"] == "200x")]
    cells = {name: cell for name, cell in results.cells.items() if cell.fold == 0 and cell.stratum == "200x"}
    part = replace(results, predictions=kept, cells=cells)
    tested = kept[kept["side"] == "test"]
    assert leakage.tested_groups(part) == tested["group"].nunique() < 56
    assert dict(facts(part))["images"].startswith("224 of 56 accessions")
    chart = calibration_chart(Analysis(part), "x-")
    seen = dict.fromkeys(part.labels, 0)
    for record in chart.data.records:
        seen[record["model"]] += record["images"]
    assert all(tested["image"].nunique() <= count <= 2 * tested["image"].nunique() for count in seen.values())


def test_without_a_class_nothing_is_said_to_be_better(results):
    one_class = replace(results, predictions=results.predictions[results.predictions["label"] == 1])
    pair = Analysis(one_class).tested["200x"]
    assert pair["densenet"].resampled.share_above(pair["lbp-svm"].resampled, "balanced_accuracy") is None


def test_the_command_quotes_what_a_shell_would_read(results):
    config = results.run.config
    models = {**config.models, "mine": ModelSettings(plugin="timm", options={"weights": "/a/b c.pth"})}
    run = results.run.model_copy(update={"name": "my $(run)", "config": config.model_copy(update={"models": models})})
    assert command(replace(results, run=run)) == ("harness run 'my $(run).yaml' -o models.mine.options.weights=FILE")
