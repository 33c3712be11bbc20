"""Several protocols in one command."""

import json

import pytest

PROTOCOL_NAMES = ("paper-random", "slide-5fold", "accession-5fold")
PROTOCOLS = ("-o", "allow_leak=true", "-o", "protocols=[paper-random, slide-5fold, accession-5fold]")


@pytest.fixture(scope="module")
def study(finished):
    return finished(*PROTOCOLS)


def test_every_protocol_is_a_run_and_the_table_compares_them(study, harness):
    leaky = {name: json.loads((study / name / "run.json").read_text())["leaky"] for name in PROTOCOL_NAMES}
    assert leaky == {"paper-random": True, "slide-5fold": False, "accession-5fold": False}
    records = json.loads(harness("tables", study, "--format", "json")[1])["records"]
    found = {(r["model"], r["metric"], r["stratum"], r["quantity"], r["protocol"]): r["value"] for r in records}
    for label in ("majority", "densenet"):
        values = {name: found[label, "p_img", "200x", "value", name] for name in ("paper-random", "accession-5fold")}
        gap = found[label, "p_img", "200x", "minus accession-5fold", "paper-random"]
        assert gap == pytest.approx(values["paper-random"] - values["accession-5fold"])
    run = json.loads(harness("tables", study / "accession-5fold", "--table", "metrics", "--format", "json")[1])[
        "records"
    ]
    alone = {r["metric"]: r["value"] for r in run if (r["model"], r["stratum"]) == ("densenet", "200x")}
    assert found["densenet", "auc", "200x", "value", "accession-5fold"] == pytest.approx(alone["auc"])


def test_models_are_timed_in_the_first_run_and_records_of_the_others_say_so(study):
    def timings(name, label):
        files = study.glob(f"{name}/cells/{label}-*/cell.json")
        return [json.loads(file.read_text())["timings"] for file in files]

    first = timings("paper-random", "densenet")[0]
    assert first["measured_in"] is None
    for name in PROTOCOL_NAMES[1:]:
        assert {one["measured_in"] for one in timings(name, "densenet")} == {"paper-random"}
        assert {one["measured_in"] for one in timings(name, "majority")} == {None}
        for measured in ("images_per_second_alone", "calibrated_readings", "calibration_seconds"):
            assert all(one[measured] == first[measured] for one in timings(name, "densenet"))


def test_the_table_is_a_pure_function_of_the_study(study, harness):
    before = {path.name: path.read_bytes() for path in (study / "tables").iterdir()}
    assert sorted(before) == [*(f"leak.{how}" for how in ("csv", "html", "json", "md", "tex")), "preamble.tex"]
    drawn = {path.name for path in (study / "figures").iterdir()}
    assert drawn == {"leak.pdf", "leak.png", "leak.svg", "drawn.json"}
    assert harness("tables", study)[0] == 0
    assert {path.name: path.read_bytes() for path in (study / "tables").iterdir()} == before


def test_the_report_of_a_study_has_every_run_and_what_stands_across_them(study, harness, tmp_path):
    code, out, err = harness("report", study, "--images", "none", "--out", tmp_path / "page.html")
    assert (code, out.strip()) == (0, str(tmp_path / "page.html")), err
    text = (tmp_path / "page.html").read_text()
    assert [f'id="r{number}-answer">{name}' in text for number, name in enumerate(PROTOCOL_NAMES, 1)] == [True] * 3
    assert 'id="across-0"' in text
    assert 'id="across-1"' not in text
    assert '<title id="leak-title">The leak' in text
    assert "LEAKY: " in text


def test_a_study_of_the_first_schema_is_still_read(study, harness):
    content = json.loads((study / "study.json").read_text())
    table = harness("tables", study)[1]
    (study / "study.json").write_text(json.dumps({"schema_version": 1, "protocols": [*content["runs"], "../other"]}))
    assert harness("tables", study)[1] == table
    (study / "study.json").write_text(json.dumps(content))


def test_a_study_goes_on(study, harness, tiny, phantom):
    code, out, err = harness("run", tiny, "--data", phantom, "--out", study, *PROTOCOLS)
    assert code == 0
    assert "LEAKY - Accuracy by protocol" in out
    assert err.count("0 cells computed") == 3


def test_a_leak_must_still_be_asked_for(harness, tiny, phantom, tmp_path):
    protocols = "protocols=[paper-random, accession-5fold]"
    code, _, err = harness("run", tiny, "--data", phantom, "--out", tmp_path / "study", "-o", protocols)
    assert code == 2
    assert "allow_leak" in err


def test_status_of_a_study(study, harness):
    code, out, _ = harness("status", study)
    assert code == 0
    assert "accession-5fold: 10 done" in out
    assert json.loads(harness("status", study, "--json")[1])["paper-random"]["counts"] == {"done": 2}


def test_other_folders_name_the_runs_below_them(study, harness):
    code, _, err = harness("status", study.parent)
    assert code == 3
    assert "runs are in" in harness("compare", study, study)[2]
    assert "no run in" in err
