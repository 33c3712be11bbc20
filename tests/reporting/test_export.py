"""What is exported is what the run says, in the published shape; what the run cannot know is asked for."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import huggingface_hub
import jsonschema
import pandas as pd
import pytest
import yaml

from harness.api.export import export_run
from harness.errors import UsageError
from harness.evaluation.metric_names import METRIC_NAMES
from harness.reporting.analysis import Analysis
from harness.reporting.export.facts import FORMATS, MEANINGS, NEEDED, option
from harness.reporting.results import read_results
from harness.store.run_store import RunStore

SCHEMAS = Path(__file__).parent / "schemas"
RUN = Path(__file__).parents[1] / "store" / "fixtures" / "demo-schema-1.tar.xz"
FACTS = {
    "dataset": "BreakHis",
    "hub_dataset": "acme/breakhis",
    "hub_task": "{metric}-{stratum}",
    "model_id": "acme/{model}-on-breakhis",
    "evaluator": "Example Lab",
    "relationship": "first_party",
    "source_url": "https://example.org/run",
    "license": "https://creativecommons.org/licenses/by/4.0/",
    "published": "2026-12-01",
}


KEPT = ("majority", "densenet")
SAID = ("The images are generated", "80 of 100 cells are missing: ")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two models at two magnifications; the other cells of the run are missing."""
    folder = tmp_path_factory.mktemp("whole")
    with tarfile.open(RUN) as archive:
        archive.extractall(folder, filter="data")
    for cell in folder.glob("cells/*"):
        if not cell.name.startswith(tuple(f"{label}-{stratum}-" for label in KEPT for stratum in ("100x", "200x"))):
            shutil.rmtree(cell)
    return folder


@pytest.fixture(scope="module")
def exported(whole, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    export_run(whole, out, **FACTS)
    return out


@pytest.fixture(scope="module")
def analysis(whole):
    return Analysis(read_results(RunStore(whole)))


@pytest.fixture
def changed(whole, tmp_path):
    """Return a copy of the run whose ``run.json`` has been changed: ``changed(lambda run: ...)``."""

    def make(change):
        run = shutil.copytree(whole, tmp_path / "run")
        told = json.loads((run / "run.json").read_text())
        change(told)
        (run / "run.json").write_text(json.dumps(told))
        return run

    return make


def schema(name):
    found = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    kind = jsonschema.validators.validator_for(found)
    kind.check_schema(found)
    return kind(found)


def arguments(facts):
    return [word for name, value in facts.items() for word in (option(name), value)]


def hub_entries(out):
    return {file: yaml.safe_load(file.read_text()) for file in out.rglob(".eval_results/*.yaml")}


def logs(out):
    return {file: json.loads(file.read_text()) for file in out.glob("every-eval-ever/data/*/*/*/*.json")}


def lines(out):
    files = out.glob("every-eval-ever/data/*/*/*/*.jsonl")
    return {file: [json.loads(line) for line in file.read_text().splitlines()] for file in files}


def metadata(out):
    return json.loads((out / "croissant" / "croissant.json").read_text())


def everything_said(out):
    """The texts in which each format says what a number is worth, by format."""
    (log, *_), (entries, *_) = logs(out).values(), hub_entries(out).values()
    said_of_scores = [result["score_details"]["details"]["notes"] for result in log["evaluation_results"]]
    return {
        "hugging-face": [entry["notes"] for entry in entries],
        "every-eval-ever": [log["source_metadata"]["additional_details"]["notes"], *said_of_scores],
        "croissant": [metadata(out)["description"]],
    }


def test_files_are_of_the_published_shape(exported):
    for name, found in (("hugging_face_eval_results", hub_entries), ("every_eval_ever", logs)):
        check, contents = schema(name), found(exported)
        assert len(contents) == 2
        for content in contents.values():
            check.validate(content)
    check, of_images = schema("every_eval_ever_instance"), lines(exported)
    assert len(of_images) == 2
    for content in of_images.values():
        check.validate(content[0])
        check.validate(content[-1])


@pytest.mark.skipif(not hasattr(huggingface_hub, "parse_eval_result_entries"), reason="an older huggingface_hub")
def test_the_hubs_own_library_reads_its_entries(exported):
    for entries in hub_entries(exported).values():
        read = huggingface_hub.parse_eval_result_entries(entries)
        assert huggingface_hub.eval_result_entries_to_yaml(read) == entries


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, within mlcroissant
def test_the_reference_implementation_reads_the_croissant_files(exported, whole):
    import mlcroissant

    def records(name):
        rows = pd.DataFrame(mlcroissant.Dataset(exported / "croissant" / "croissant.json").records(name))
        rows.columns = [column.partition("/")[2] for column in rows.columns]
        return rows.map(lambda value: value.decode() if isinstance(value, bytes) else value)

    for name in ("manifest", "splits"):
        stored = pd.read_parquet(whole / f"{name}.parquet")
        read = records({"manifest": "images"}.get(name, name))
        pd.testing.assert_frame_equal(read, stored, check_dtype=False)
    assert set(records("sides")["name"]) == {"train", "validation", "test"}
    assert records("classes").set_index("label")["name"].to_dict() == {0: "benign", 1: "malignant"}


def test_checksums_are_those_of_the_files(exported, whole):
    for file in metadata(exported)["distribution"]:
        content = (exported / "croissant" / file["contentUrl"]).read_bytes()
        assert content == (whole / file["contentUrl"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    for file, log in logs(exported).items():
        details = log["detailed_evaluation_results"]
        content = (exported / "every-eval-ever" / details["file_path"]).read_bytes()
        assert details["file_path"].endswith(f"{file.stem}_samples.jsonl")
        assert (details["checksum"], details["total_rows"]) == (
            hashlib.sha256(content).hexdigest(),
            content.count(b"\n"),
        )


def test_every_metric_is_exported_to_the_last_digit(exported, analysis):
    for label in analysis.results.labels:
        model_id = f"acme/{label}-on-breakhis"
        (entries,) = (found for file, found in hub_entries(exported).items() if model_id in file.as_posix())
        of_tasks = {entry["dataset"]["task_id"]: entry["value"] for entry in entries}
        (log,) = (log for log in logs(exported).values() if log["model_info"]["id"] == model_id)
        of_results = {found["evaluation_result_id"]: found["score_details"] for found in log["evaluation_results"]}
        assert len(of_tasks) == len(of_results) == len(METRIC_NAMES) * len(analysis.results.strata)
        for metric in METRIC_NAMES:
            for stratum in analysis.results.strata:
                score = analysis.scores[metric, label, stratum]
                result = of_results[f"{metric}@{stratum}"]
                bounds = result.get("uncertainty", {}).get("confidence_interval", {})
                assert of_tasks[f"{metric}-{stratum}"] == result["score"] == score.value
                assert (bounds.get("lower"), bounds.get("upper")) == (score.low, score.high)


def test_lines_of_images_are_the_predictions(exported, analysis):
    for file, found in lines(exported).items():
        log = json.loads((file.parent / file.name.replace("_samples.jsonl", ".json")).read_text())
        label = log["model_info"]["name"]
        assert {line["evaluation_id"] for line in found} == {log["evaluation_id"]}
        for stratum in analysis.results.strata:
            right = [
                line["evaluation"]["score"] for line in found if line["evaluation_result_id"] == f"p_img@{stratum}"
            ]
            assert sum(right) / len(right) == pytest.approx(analysis.scores["p_img", label, stratum].value)


def test_less_is_better_where_it_is(exported):
    (log, *_) = logs(exported).values()
    lower = {
        result["metric_config"]["metric_name"]
        for result in log["evaluation_results"]
        if result["metric_config"]["lower_is_better"]
    }
    assert lower == {"Brier score", "calibration error"}


def test_generated_images_and_missing_cells_are_told_everywhere(exported):
    for texts in everything_said(exported).values():
        assert all(words in text for text in texts for words in SAID)
    (log, *_) = logs(exported).values()
    assert log["evaluation_results"][0]["source_data"]["dataset_name"] == "generated images"


def test_leaks_and_limits_are_told_everywhere_to_the_letter(changed, tmp_path):
    leak = "two sides'\n- value: 1 # \u202e\x1b[2J {a: !!python/object/apply:os.system [ls]}"

    def change(run):
        run["leaky"], run["leaks"], run["comparison"]["limit"] = True, [leak], 20
        run["config"]["data"] |= {"phantom": None, "folder": "images"}

    export_run(changed(change), tmp_path, **FACTS)
    for texts in everything_said(tmp_path).values():
        assert all(f"LEAK: {leak}" in text and "limited to 20 images" in text for text in texts)
    (log, *_), (entries, *_) = logs(tmp_path).values(), hub_entries(tmp_path).values()
    names = {result["evaluation_name"] for result in log["evaluation_results"]}
    assert all(text.startswith("LEAKY - ") for text in (*names, metadata(tmp_path)["name"], entries[0]["notes"]))
    assert log["evaluation_results"][0]["source_data"]["hf_repo"] == "acme/breakhis"


def test_a_path_of_somebodys_machine_is_not_exported(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    for file in run.glob("cells/densenet-*/cell.json"):
        record = json.loads(file.read_text())
        record["options"] |= {"weights": "/home/somebody/weights.safetensors"}
        file.write_text(json.dumps({name: value for name, value in record.items() if name not in {"files", "sha256"}}))
    export_run(run, tmp_path / "out", ["every-eval-ever"], **FACTS)
    said = [log["model_info"]["additional_details"]["options"] for log in logs(tmp_path / "out").values()]
    assert any('"weights": "weights.safetensors"' in options for options in said)
    assert not any("somebody" in options for options in said)


@pytest.mark.parametrize(("how", "missing"), [(how, name) for how in FORMATS for name in NEEDED[how]])
def test_what_a_run_cannot_know_is_asked_for(harness, changed, tmp_path, how, missing):
    run = changed(lambda run: run["config"]["data"].update(phantom=None, folder="images"))
    given = {name: value for name, value in FACTS.items() if name != missing}
    code, out, err = harness("export", run, "--format", how, "--out", tmp_path / "out", *arguments(given))
    assert (code, out) == (2, "")
    assert option(missing) in err
    assert MEANINGS[missing] in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("how", FORMATS)
def test_what_is_asked_for_is_enough(changed, tmp_path, how):
    run = changed(lambda run: run["config"]["data"].update(phantom=None, folder="images"))
    assert export_run(run, tmp_path / "out", [how], **{name: FACTS[name] for name in NEEDED[how]}).files


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hub_dataset", "breakhis"),
        ("hub_revision", "main"),
        ("hub_task", "{metric}"),
        ("model_id", "acme/one-for-all"),
        ("model_id", "../{model}"),
        ("model_id", "acme/../{model}"),
        ("relationship", "friends"),
        ("source_url", "example.org"),
        ("dataset_url", "javascript:alert(1)"),
        ("published", "2026-02-30"),
        ("evaluator", "two\nlines"),
    ],
)
def test_what_cannot_be_right_is_refused(whole, tmp_path, name, value):
    with pytest.raises(UsageError, match=option(name)):
        export_run(whole, tmp_path / "out", **{**FACTS, name: value})
    assert not (tmp_path / "out").exists()


def test_a_format_that_is_not_there_and_a_study_are_refused(whole, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'croissant'"):
        export_run(whole, tmp_path / "out", ["croisant"], **FACTS)
    study = {"schema_version": 2, "kind": "variants", "runs": ["one"]}
    (tmp_path / "study.json").write_text(json.dumps(study))
    with pytest.raises(UsageError, match="holds a study"):
        export_run(tmp_path, tmp_path / "out", **FACTS)


def test_the_command_lists_its_files_and_replaces_them(harness, whole, tmp_path):
    call = ("export", whole, "--format", "every-eval-ever", "--out", tmp_path, *arguments(FACTS))
    code, first, err = harness(*call)
    assert (code, SAID[1] in err) == (0, True)
    assert harness(*call)[1] == first
    assert sorted(map(Path, first.split())) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
