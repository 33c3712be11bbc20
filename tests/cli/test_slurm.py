"""The job array for SLURM, submitted to a stand-in that runs it on this machine."""

import re
import subprocess

import pytest
from sbatch import environment_with_sbatch

from harness.reporting.results import read_results
from harness.store.run_store import RunStore


@pytest.fixture
def script(harness, tiny, phantom, tmp_path):
    """The script of a run, as it is printed."""

    def make(*arguments):
        given = ("--data", phantom, "--out", tmp_path / "a folder" / "tiny", "-o", "schedule.epochs=1", *arguments)
        code, out, err = harness("slurm", tiny, *given)
        assert code == 0, err
        return out

    return make


@pytest.mark.long
def test_the_array_computes_the_run_and_the_merge_puts_it_together(script, tmp_path):
    (tmp_path / "tiny.sh").write_text(script("--shards", 2, "--models", "majority", "-o", "seeds=[0,1]"))
    environment = environment_with_sbatch(tmp_path)
    done = subprocess.run(
        ["bash", "tiny.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Table 3. Accuracy" in done.stdout
    assert set(read_results(RunStore(tmp_path / "a folder" / "tiny")).cells) == {
        *("majority-200x-fold0-seed0", "majority-200x-fold0-seed1")
    }
    array, merge = (tmp_path / "log").read_text().splitlines()
    assert array == "--parsable tiny.sh"
    assert "--dependency=afterany:4711 " in merge


def test_it_asks_for_what_the_estimate_says_and_is_requeued(script):
    one, two = (script("--shards", 2, "--jobs", jobs) for jobs in (1, 2))
    options = dict(re.findall(r"^#SBATCH (--[a-z-]+)=?(.*)$", one, re.MULTILINE))
    assert options["--array"] == "1-2"
    assert re.fullmatch(r"0:1[5-9]:00", options["--time"])
    assert (options["--cpus-per-task"], "--requeue" in options, "--gres" in options) == ("2", True, False)
    memory, more = (int(re.search(r"--mem=(\d+)M\n", text)[1]) for text in (one, two))
    assert memory > 2000
    assert more > memory


def test_more_shards_than_cells_are_refused(harness, tiny, phantom, tmp_path):
    code, _, err = harness("slurm", tiny, "--shards", 3, "--data", phantom, "--out", tmp_path / "tiny")
    assert (code, "2 cells, too few for 3 shards" in err) == (2, True)
    assert not list(tmp_path.glob("*.json"))
