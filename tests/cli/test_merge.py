"""Run folders put together: shards of a run, and runs of different models."""

import json
import shutil
import socket

import pandas as pd
import pytest

from harness.reporting.results import read_results
from harness.store.checksums import with_checksums
from harness.store.run_lock import hold
from harness.store.run_store import RunStore
from harness.store.schema import CellRecord, ErrorRecord, FailedRecord

OPTIONS = ("-o", "seeds=[0,1]", "-o", "schedule.epochs=1")
CELL = "densenet-200x-fold0-seed0"
TIMED = "table5"


@pytest.fixture(scope="module")
def whole(finished):
    """A run of four cells."""
    return finished(*OPTIONS)


@pytest.fixture(scope="module")
def made(finished):
    return [finished(*OPTIONS, "--shard", f"{number}/3") for number in (1, 2, 3)]


@pytest.fixture
def shards(made, tmp_path):
    """The same run in three shards."""
    return [shutil.copytree(folder, tmp_path / f"shard-{place}") for place, folder in enumerate(made, 1)]


@pytest.fixture
def merge(harness, tmp_path):
    def call(*folders, out="merged"):
        return *harness("merge", tmp_path / out, *folders), tmp_path / out

    return call


def results(run):
    """Everything in a run that is no time, by name."""
    files = [*run.glob("cells/*/predictions.parquet"), *run.glob("cells/*/*.safetensors"), *run.glob("tables/*")]
    found = {str(file.relative_to(run)): file.read_bytes() for file in files if TIMED not in file.name}
    table = pd.read_csv(run / "tables" / f"{TIMED}.csv")
    return {**found, TIMED: table[["model", "cells", "converged", "epochs", "images"]].to_csv()}


def rewrite(cell, **changes):
    """Change the record of a cell, and seal it again."""
    record = json.loads((cell / "cell.json").read_text())
    record = {name: value for name, value in record.items() if name not in {"files", "sha256"}}
    (cell / "cell.json").write_text(json.dumps(with_checksums({**record, **changes}, cell), indent=1))


def holder(shards, cell=CELL):
    return next(shard for shard in shards if (shard / "cells" / cell).exists())


def test_shards_in_any_order_are_the_run(merge, whole, shards):
    for place, order in enumerate((shards, shards[::-1], [shards[1], shards[0], shards[2]])):
        code, out, err, folder = merge(*order, out=f"merged-{place}")
        assert code == 0, err
        assert "4 cells copied, 0 kept" in err
        assert "Table 3. Accuracy" in out
        assert results(folder) == results(whole)
        assert json.loads((folder / "run.json").read_text()) == json.loads((whole / "run.json").read_text())


def test_every_cell_is_as_it_was_and_its_origin_is_kept(merge, harness, shards):
    *_, folder = merge(*shards)
    origins = json.loads((folder / "merged.json").read_text())["cells"]
    for shard in shards:
        for cell in shard.glob("cells/*"):
            assert (folder / "cells" / cell.name / "cell.json").read_bytes() == (cell / "cell.json").read_bytes()
            assert (origins[cell.name]["folder"], origins[cell.name]["host"]) == (str(shard), socket.gethostname())
    assert RunStore(folder).find_damage(thorough=True) == {}
    assert json.loads(harness("status", folder, "--json")[1])["counts"] == {"done": 4}


def test_shards_are_added_one_by_one_and_what_is_missing_is_named(merge, whole, shards):
    code, _, err, folder = merge(shards[2])
    assert (code, "the result is partial: 3 cells have no result" in err) == (1, True)
    assert "shard 1/3 is missing" in err
    assert "shard 2/3 is missing" in err
    missing = {cell.name for shard in shards[:2] for cell in shard.glob("cells/*")}
    line = next(line for line in err.splitlines() if line.startswith("missing: "))
    assert set(line.removeprefix("missing: ").split(", ")) == missing
    assert "PARTIAL: 3 of 4 cells are missing" in (folder / "tables" / "table3.md").read_text()
    code, _, err, _ = merge(shards[0], shards[1])
    assert (code, "3 cells copied, 1 kept" in err, "missing" in err) == (0, True, False)
    assert results(folder) == results(whole)
    assert {origin["folder"] for origin in json.loads((folder / "merged.json").read_text())["cells"].values()} == set(
        map(str, shards)
    )


def test_a_shard_given_twice_is_taken_once(merge, shards, tmp_path):
    again = shutil.copytree(shards[0], tmp_path / "again")
    code, _, err, folder = merge(*shards, shards[0], again)
    assert code == 0, err
    assert f"{shards[0]} is given twice, and taken once" in err
    assert "finished cells stood in several folders, the same; each is taken once" in err
    assert len(list(folder.glob("cells/*"))) == 4


def test_a_folder_without_a_run_is_named_and_the_others_are_not_lost(merge, shards, tmp_path):
    code, _, err, folder = merge(*shards[:2], tmp_path / "never-begun")
    assert (code, f"no run in {tmp_path / 'never-begun'}" in err, "shard 3/3 is missing" in err) == (1, True, True)
    assert len(RunStore(folder).read_done()) == 3
    code, _, err, folder = merge(tmp_path / "never-begun", out="none")
    assert (code, "no run in" in err, folder.exists()) == (3, True, False)


def other_predictions(cell):
    table = pd.read_parquet(cell / "predictions.parquet")
    table["p_benign"], table["p_malignant"] = table["p_malignant"].copy(), table["p_benign"].copy()
    table.to_parquet(cell / "predictions.parquet")
    rewrite(cell)


def other_key(cell):
    parts = json.loads((cell / "cell.json").read_text())["key_parts"]
    rewrite(cell, key_parts={**parts, "options": "others"})


@pytest.mark.parametrize(
    ("change", "words"), [(other_predictions, "(other predictions in"), (other_key, "(another key: options differ in")]
)
@pytest.mark.parametrize("into", ["nothing", "run"])
def test_a_conflicting_cell_is_named_and_nothing_is_written(merge, shards, tmp_path, change, words, into):
    copy = shutil.copytree(holder(shards), tmp_path / "copy")
    change(copy / "cells" / CELL)
    if into == "run":
        merge(holder(shards))
    before = {path: path.read_bytes() for path in (tmp_path / "merged").rglob("*") if path.is_file()}
    code, out, err, folder = merge(*([copy] if into == "run" else [*shards, copy]))
    assert (code, out) == (2, "")
    assert f"{CELL} {words} {folder if into == 'run' else holder(shards)}" in err
    assert str(copy) in err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda compared: compared.update(seeds=[0, 7]), "seeds is [0, 7], and [0, 1]", marks=pytest.mark.long
        ),
        (lambda compared: compared["schedule"].update(prediction_views=8), "schedule.prediction_views is 8, and 1"),
    ],
)
def test_another_comparison_is_refused_by_the_first_difference(merge, shards, change, words):
    file = shards[1] / "run.json"
    run = json.loads(file.read_text())
    change(run["comparison"])
    file.write_text(json.dumps(run))
    code, _, err, folder = merge(*shards)
    assert code == 2
    assert f"{shards[1]} is of another comparison: its {words} in {shards[0]}" in err
    assert not folder.exists()


def test_one_label_of_two_models_is_refused(merge, shards):
    for cell in shards[1].glob("cells/*"):
        parts = json.loads((cell / "cell.json").read_text())["key_parts"]
        rewrite(cell, key_parts={**parts, "plugin": "another"})
    code, _, err, folder = merge(*shards)
    assert (code, "plugin differ; nothing is written" in err, folder.exists()) == (2, True, False)


def only(run, label):
    """Leave one model in a run folder, as another laboratory would have computed it."""
    values = json.loads((run / "run.json").read_text())
    values["config"]["models"] = {label: values["config"]["models"][label]}
    (run / "run.json").write_text(json.dumps(values))
    for cell in run.glob("cells/*"):
        if not cell.name.startswith(f"{label}-"):
            shutil.rmtree(cell)
    return run


def test_laboratories_join_their_models(merge, whole, tmp_path):
    ours, theirs = (only(shutil.copytree(whole, tmp_path / label), label) for label in ("majority", "densenet"))
    code, out, err, folder = merge(ours, theirs)
    assert (code, "missing" in err) == (0, False), err
    assert "| majority " in out
    assert "| densenet " in out
    assert results(folder) == results(whole)


def test_a_finished_cell_takes_the_place_of_a_failed_one_and_of_nothing_else(merge, shards, tmp_path):
    failed = shutil.copytree(holder(shards), tmp_path / "failed")
    store = RunStore(failed)
    record = store.read_done()[CELL]
    known = {name: getattr(record, name) for name in CellRecord.model_fields if name != "sha256"}
    (store.folder / "active").mkdir(exist_ok=True)
    store.fail_cell(CELL, FailedRecord(state="failed", error=ErrorRecord(reason="no luck"), **known))
    code, _, err, folder = merge(failed)
    assert (code, f"failed: {CELL}: no luck" in err) == (1, True)
    code, _, err, _ = merge(*shards)
    assert (code, CELL in RunStore(folder).read_done()) == (0, True), err
    assert merge(failed)[0] == 0
    assert CELL in RunStore(folder).read_done()


def test_a_damaged_cell_is_not_taken(merge, shards):
    file = holder(shards) / "cells" / CELL / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    code, _, err, folder = merge(*shards)
    assert (code, f"{CELL} is damaged: model.safetensors" in err) == (3, True)
    assert not (folder / "cells" / CELL).exists()


def test_a_link_in_a_cell_is_left_behind(merge, shards, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (holder(shards) / "cells" / CELL / "link").symlink_to(tmp_path / "secret")
    code, _, err, folder = merge(*shards)
    assert code == 0, err
    assert sorted(path.name for path in (folder / "cells" / CELL).iterdir()) == [
        *("cell.json", "history.parquet", "model.safetensors", "predictions.parquet")
    ]


def test_a_folder_at_work_is_not_written_to(merge, shards, tmp_path):
    (tmp_path / "merged").mkdir()
    with hold(tmp_path / "merged"):
        code, _, err, _ = merge(*shards)
    assert (code, "is at work in" in err) == (2, True)


@pytest.mark.long
def test_a_merged_run_goes_on_where_cells_are_missing(merge, harness, tiny, phantom, whole, shards):
    *_, folder = merge(*shards[1:])
    code, _, err = harness("run", tiny, *OPTIONS, "--data", phantom, "--out", folder, "--jobs", "2")
    assert code == 0, err
    assert results(folder) == results(whole)


def test_table_5_is_by_machine_where_a_model_ran_on_several(merge, shards):
    for cell in shards[0].glob("cells/densenet-*"):
        rewrite(cell, device={**json.loads((cell / "cell.json").read_text())["device"], "name": "Fast One"})
    *_, folder = merge(*shards)
    found = read_results(RunStore(folder))
    machines = {cell.device["name"] for cell in found.cells_of("densenet")}
    table = (folder / "tables" / "table5.md").read_text()
    assert len(machines) == 2
    assert "| densenet (mixed machines) " in table
    assert all(f"| densenet on {machine} " in table for machine in machines)
    assert "on Fast One" in next(line for line in table.splitlines() if "NOT COMPARABLE in minutes" in line)
    assert "Mixed machines: " in table
    assert "majority (mixed" not in table


@pytest.mark.parametrize("others", [pytest.param(1, marks=pytest.mark.long), 3])
def test_other_versions_are_named_below_the_tables(merge, shards, others):
    """Whether they differ from cell to cell, or are those of all cells and not of the command."""
    for cell in (cell for shard in shards[:others] for cell in shard.glob("cells/*")):
        rewrite(cell, versions={**json.loads((cell / "cell.json").read_text())["versions"], "timm": "0.0.1"})
    code, _, err, folder = merge(*shards)
    assert code == 0, err
    assert "Mixed library versions: timm 0.0.1 and " in (folder / "tables" / "table3.md").read_text()
