"""Tables come from the cache only where nothing that they are computed from has changed."""

import json
import shutil

import pandas as pd
import pytest

from harness.cache import Cache
from harness.errors import DataError
from harness.reporting import kept_tables as module
from harness.reporting import publish as publishing
from harness.reporting.publish import publish
from harness.store.checksums import with_checksums
from harness.store.run_store import RunStore

CELL = "densenet-200x-fold0-seed0"


@pytest.fixture(scope="module")
def whole(finished):
    return finished()


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


@pytest.fixture
def made(run, tmp_path, monkeypatch):
    """Publish the run; how often its tables were computed is counted."""
    computed = []
    compute = publishing.run_tables
    monkeypatch.setattr(publishing, "run_tables", lambda results: computed.append(1) or compute(results))
    told = []

    def once(cache=tmp_path / "cache"):
        return publish(RunStore(run), Cache(cache, told.append)), len(computed), told

    return once


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_tables_and_files_from_the_cache(made, run):
    first, computed, _ = made()
    before = files_of(run / "tables")
    shutil.rmtree(run / "tables")
    again, still, _ = made()
    assert (computed, still) == (1, 1)
    assert again == first
    assert files_of(run / "tables") == before


def resealed(cell, change):
    """Change a cell as if it had been made like that."""
    record = json.loads((cell / "cell.json").read_text())
    change(record)
    for seal in ("files", "sha256"):
        record.pop(seal)
    (cell / "cell.json").write_text(json.dumps(with_checksums(record, cell), indent=1))


def spoil_predictions(run):
    cell = run / "cells" / CELL
    table = pd.read_parquet(cell / "predictions.parquet")
    table.assign(predicted=1 - table["predicted"]).to_parquet(cell / "predictions.parquet")
    resealed(cell, lambda _record: None)


def less_rows(name):
    return lambda run: pd.read_parquet(run / name).iloc[:-1].to_parquet(run / name)


def other_seed(run):
    told = json.loads((run / "run.json").read_text())
    told["leaky"] = True
    (run / "run.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    "change",
    [
        spoil_predictions,
        less_rows("splits.parquet"),
        other_seed,
        lambda run: resealed(run / "cells" / CELL, lambda record: record["timings"].update(cell_seconds=9.0)),
        lambda run: shutil.rmtree(run / "cells" / CELL),
    ],
)
def test_any_change_of_the_run_is_computed_anew(made, run, change):
    made()
    change(run)
    assert made()[1] == 2
    assert made()[1] == 2


def test_other_code_or_libraries_are_another_key(made, monkeypatch):
    made()
    monkeypatch.setattr(module, "_code", lambda: "other")
    assert made()[1] == 2


def test_a_damaged_cell_is_refused_although_its_tables_are_known(made, run):
    made()
    file = run / "cells" / CELL / "predictions.parquet"
    pd.read_parquet(file).assign(predicted=1).to_parquet(file)
    with pytest.raises(DataError, match=CELL):
        made()


def test_cells_without_checksums_are_never_kept(made, run):
    for file in run.glob("cells/*/cell.json"):
        record = json.loads(file.read_text())
        file.write_text(json.dumps({key: record[key] for key in record if key not in {"files", "sha256"}}))
    assert (made()[1], made()[1]) == (1, 2)


def test_what_the_cache_holds_is_believed_only_as_it_was_written(made, tmp_path):
    first, _, _ = made()
    (file,) = tmp_path.glob("cache/tables/*/tables.json")
    file.write_text(file.read_text().replace("majority", "marjoram"))
    again, computed, told = made()
    assert computed == 2
    assert again == first
    assert "is not as it was written" in told[0]


def test_a_cache_that_cannot_be_used_costs_time_alone(made, tmp_path):
    (tmp_path / "file").touch()
    assert made(tmp_path / "file")[1] == 1
    assert made(tmp_path / "file")[1] == 2
