"""Run folders of earlier schema versions are read, shown and continued."""

import json
import shutil
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from harness.store.run_store import RunStore
from harness.store.schema import SCHEMA_VERSION

FIXTURES = Path(__file__).parent / "fixtures"


def as_version_2(run):
    """Rewrite a run folder as version 2 would have left it."""
    for file in (run / "run.json", *run.glob("cells/*/cell.json")):
        record = json.loads(file.read_text())
        record["schema_version"] = 2
        for later in ("files", "sha256", "strata", "classes", "given", "starts_from", "data_set"):
            record.pop(later, None)
        if "config" in record:
            record["config"]["engine"] = record["config"]["schedule"].pop("execution_mode")
            strata, comparison, data = record["config"].pop("strata"), record["comparison"], record["config"]["data"]
            record["config"]["magnifications"] = [int(stratum.removesuffix("x")) for stratum in strata]
            record["config"]["data"] = {"folder": data["folder"], **data["options"]}
            comparison |= comparison.pop("data_options")
            del comparison["data_set"], comparison["classes"]
            record["protocol"]["shared_accessions"] = record["protocol"].pop("shared_groups")
        else:
            for metrics in (record["metrics"], record["validation_metrics"]):
                metrics["p_arp_slide"] = metrics.pop("p_arp_subgroup")
                metrics["p_arp_accession"] = metrics.pop("p_arp_group")
            record["magnification"] = int(record.pop("stratum").removesuffix("x"))
            record["engine"] = record.pop("execution_mode")
            record["key_parts"]["engine"] = record["key_parts"].pop("execution mode")
        file.write_text(json.dumps(record))
    for file in (run / "manifest.parquet", *run.glob("cells/*/predictions.parquet")):
        table = pd.read_parquet(file).drop(columns="facts", errors="ignore")
        table = table.rename(columns={"group": "accession", "subgroup": "slide", "subtype": "type"})
        magnification = table.pop("stratum").str.removesuffix("x").astype("Int64")
        table.assign(magnification=magnification).to_parquet(file)
    return run


@pytest.fixture(scope="module")
def present(finished):
    return finished()


@pytest.fixture
def version_2(present, tmp_path):
    return as_version_2(shutil.copytree(present, tmp_path / "run"))


def test_a_run_of_version_2_shows_what_it_showed(harness, present, version_2):
    assert "- Made by an earlier version" in harness("tables", version_2)[1]
    for name in ("3", "4", "5", "metrics", "groups", "subgroups"):
        shown = ("tables", "--table", name, "--format", "json")
        then, now = (json.loads(harness(*shown, run)[1]) for run in (version_2, present))
        assert then["records"] == now["records"]
    assert json.loads(harness("status", version_2, "--json")[1])["counts"] == {"done": 2}
    assert harness("compare", present, version_2, "--fail-on-regression")[0] == 0


def test_a_run_of_version_2_is_continued(harness, tiny, phantom, version_2):
    more = ("-o", "models.white-point={}")
    code, _, err = harness("run", tiny, "--data", phantom, "--out", version_2, *more)
    assert code == 0, err
    assert "1 cells computed, 2 kept" in err
    store = RunStore(version_2)
    assert {record.schema_version for record in store.read_done().values()} == {2, SCHEMA_VERSION}
    assert store.require_run().schema_version == SCHEMA_VERSION
    assert set(store.read_predictions(store.read_done(), ["benign", "malignant"])["stratum"]) == {"200x"}
    code, out, _ = harness("tables", version_2)
    assert code == 0
    assert all(f"| {label} " in out for label in ("majority", "densenet", "white-point"))


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_that_was_made_then_is_read(harness, tmp_path, version):
    with tarfile.open(FIXTURES / f"demo-schema-{version}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    store = RunStore(tmp_path)
    assert store.require_run().strata == ["40x", "100x", "200x", "400x"]
    for record in store.read_done().values():
        assert record.schema_version == version
        assert record.stratum in store.require_run().strata
        assert record.execution_mode.startswith(("eager", "none"))
        assert "execution mode" in record.key_parts
    code, out, err = harness("tables", tmp_path)
    assert (code, err) == (0, "")
    assert "| 100x" in out
