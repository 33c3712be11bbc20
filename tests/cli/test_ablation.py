"""Several variants of a run in one command."""

import json
import shutil

import pandas as pd
import pytest

from harness.evaluation.cell_metrics import measure_pooled
from harness.execution.cell_results import scored_columns

VARIANTS = ("-o", "variants={stained: {}, plain.1: {pixels.stain: none}}", "-o", "reference=densenet")
METRICS = ("p_img", "p_arp_group", "balanced_accuracy", "auc")

pytestmark = pytest.mark.long  # a study of two runs of five folds; test_study.py has one in every change


@pytest.fixture(scope="module")
def study(finished):
    return finished("-o", "protocol=accession-5fold", *VARIANTS)


@pytest.fixture
def copy(study, tmp_path):
    return shutil.copytree(study, tmp_path / "copy")


def records(harness, study):
    found = json.loads(harness("tables", study, "--format", "json")[1])["records"]
    return {(r["quantity"], r["variant"], r["model"], r["metric"]): r for r in found}


def held_out(study, variant, label):
    table = pd.concat(pd.read_parquet(file) for file in study.glob(f"{variant}/cells/{label}-*/predictions.parquet"))
    return scored_columns(table[table["side"] == "test"], ["benign", "malignant"])


def test_a_row_for_every_model_of_every_variant(study, harness):
    found = records(harness, study)
    for variant in ("stained", "plain.1"):
        for label in ("majority", "densenet"):
            expected = measure_pooled(held_out(study, variant, label), cross_validated=True)
            values = {metric: found["value", variant, label, metric]["value"] for metric in METRICS}
            assert values == pytest.approx({metric: expected[metric] for metric in METRICS})
    stains = [
        json.loads((study / v / "run.json").read_text())["config"]["pixels"]["stain"] for v in ("stained", "plain.1")
    ]
    assert stains == ["white-balance", "none"]


def test_differences_are_to_the_first_variants_reference(study, harness):
    found = records(harness, study)
    for metric in ("balanced_accuracy", "auc"):
        assert ("difference", "stained", "densenet", metric) not in found
        reference = found["value", "stained", "densenet", metric]["value"]
        for variant, label in (("stained", "majority"), ("plain.1", "majority"), ("plain.1", "densenet")):
            gap = found["difference", variant, label, metric]
            assert gap["value"] == pytest.approx(found["value", variant, label, metric]["value"] - reference)
            assert (gap["reference_variant"], gap["reference_model"]) == ("stained", "densenet")
    out = harness("tables", study)[1]
    assert "The reference is densenet of stained" in out
    assert "plain.1 differs from stained in pixels.stain none instead of white-balance" in out


def test_draws_of_patients_are_shared_by_all_variants(copy, harness):
    """A variant whose predictions are those of the reference differs from it by nothing, in every draw."""
    shutil.rmtree(copy / "plain.1")
    shutil.copytree(copy / "stained", copy / "plain.1")
    found = records(harness, copy)
    for metric in ("balanced_accuracy", "auc"):
        gap = found["difference", "plain.1", "densenet", metric]
        assert (gap["value"], gap["low"], gap["high"]) == (0, 0, 0)


def test_missing_cells_are_left_out_on_both_sides(copy, harness):
    (gone,) = (copy / "plain.1/cells").glob("densenet-*-fold1-*")
    shutil.rmtree(gone)
    gap = records(harness, copy)["difference", "plain.1", "densenet", "balanced_accuracy"]["value"]
    reference, model = held_out(copy, "stained", "densenet"), held_out(copy, "plain.1", "densenet")
    ours, theirs = (
        measure_pooled(table, cross_validated=True)["balanced_accuracy"]
        for table in (model, reference[reference["fold"] != 1])
    )
    assert gap == pytest.approx(ours - theirs)
    assert "plain.1: 1 of 10 cells are missing" in harness("tables", copy)[1]


def test_the_table_is_a_pure_function_of_the_study(study, harness):
    before = {path.name: path.read_bytes() for path in (study / "tables").iterdir()}
    assert sorted(before) == [*(f"ablation.{how}" for how in ("csv", "html", "json", "md", "tex")), "preamble.tex"]
    assert harness("tables", study)[0] == 0
    assert {path.name: path.read_bytes() for path in (study / "tables").iterdir()} == before


def test_a_study_goes_on_and_a_changed_variant_is_refused(copy, harness, tiny, phantom):
    arguments = ("run", tiny, "--data", phantom, "--out", copy, "-o", "protocol=accession-5fold", *VARIANTS)
    code, out, err = harness(*arguments)
    assert code == 0
    assert "## Ablation" in out
    assert err.count("0 cells computed") == 2
    code, _, err = harness(*arguments, "-o", "variants.plain.1.pixels.size=48")
    assert code == 2
    assert "pixels" in err
    code, _, err = harness(*arguments[:6], "-o", "protocols=[holdout, accession-5fold]")
    assert code == 2
    assert "holds a study of variants" in err


def test_only_some_models_of_every_variant(harness, tiny, phantom, tmp_path):
    given = ("--data", phantom, "--out", tmp_path / "s", "--models", "majority")
    variants = "variants={one: {}, two: {models.densenet.options.growth_rate: 6}}"
    code, out, _ = harness("run", tiny, *given, "-o", variants)
    assert code == 0
    assert {path.name for path in (tmp_path / "s").glob("*/cells/*")} == {"majority-200x-fold0-seed0"}
    assert "two differs from one in nothing" in out


def test_dry_run_status_and_splits_name_the_variants(study, harness, tiny, phantom, tmp_path):
    code, out, _ = harness("run", tiny, "--data", phantom, "--out", tmp_path / "none", *VARIANTS, "--dry-run")
    assert code == 0
    assert [line for line in out.splitlines() if line in {"stained", "plain.1"}] == ["stained", "plain.1"]
    assert list(json.loads(harness("status", study, "--json")[1])) == ["stained", "plain.1"]
    one = json.loads(harness("splits", tiny, "--data", phantom, *VARIANTS, "--json")[1])
    assert one["protocol"] == "holdout"


def test_one_run_of_a_study_is_a_run(study, harness):
    code, _, err = harness("tables", study, "--table", "3")
    assert code == 2
    assert str(study / "plain.1") in err
    assert harness("tables", study / "plain.1", "--table", "3")[0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"schema_version": 9, "kind": "variants", "runs": []}, "later version"),
        ({"schema_version": 2, "kind": "seeds", "runs": ["stained"]}, "does not hold"),
        ({"schema_version": 2}, "does not hold"),
        ({"schema_version": 2, "kind": "variants", "runs": ["../other"]}, "names no run"),
    ],
)
def test_a_study_that_cannot_be_read(copy, harness, content, message):
    (copy / "study.json").write_text(json.dumps(content))
    code, _, err = harness("tables", copy)
    assert code == 3
    assert message in err
