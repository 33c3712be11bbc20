"""The executor of cells on a Ray cluster: two nodes of this machine, one of which goes, and plugins that crash."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed; done by 'make test-ray'")
from ray.cluster_utils import Cluster
from ray_runs import LIMIT_SECONDS, MARK, STORE_BYTES, Runs, ended, wait_until, write_plugin

from harness.errors import CellError, EnvironmentMissingError
from harness.execution.ray_cluster import gpu_share, refuse_unreachable
from harness.execution.ray_files import keep_part
from harness.execution.ray_messages import SavedPart
from harness.execution.ray_slot import WorkerSlot
from harness.workers.messages import Notice

pytestmark = [pytest.mark.ray, pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]

# the shipped demo, cut in size
DEMO = ("demo", "-o", "protocol=holdout", "-o", "strata=[200x]", "-o", "pixels.size=32", "-o", "schedule.epochs=2")
DEMO += ("-o", "data.phantom={accessions: 18, images: 2, size: 32}")
DEMO += tuple(
    part for source in ("natural", "lung") for part in ("-o", f"models.deep-transfer.options.{source}.epochs=1")
)


def processes_with(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes with room for one cell each; their processes have a mark of their own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        monkeypatch.setenv(MARK, "cluster")
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("nodes")))
        node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def runs(cluster: Cluster, phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    runs = Runs(tmp_path_factory.mktemp("runs"), phantom, cluster.address)
    code, told = runs.run("local", "--jobs", 2)
    assert code == 0, told
    return runs


def test_two_nodes_predict_what_one_machine_does(runs: Runs) -> None:
    code, told = runs.run("ray", *runs.on_ray())
    assert code == 0, told
    assert len(runs.predictions("local")) == 8
    assert runs.predictions("ray") == runs.predictions("local")
    assert len(list(runs.folder.glob("ray/cells/densenet-*/model.safetensors"))) == 4


@pytest.mark.long
def test_the_demos_models_predict_what_they_do_on_one_machine(runs: Runs, tmp_path: Path) -> None:
    on_ray = runs.start_config("demo-ray", *DEMO, *runs.on_ray())
    code, told = ended(on_ray)
    assert code == 0, told
    # with a cache of its own, so that no stage comes from the nodes
    code, told = ended(runs.start_config("demo-local", *DEMO, "--jobs", 2, HARNESS_CACHE=str(tmp_path)))
    assert code == 0, told
    models = {"majority", "white-point", "lbp-svm", "densenet", "densenet-se", "deep-transfer"}
    assert {cell.removesuffix("-200x-fold0-seed0") for cell in runs.predictions("demo-ray")} == models
    assert runs.predictions("demo-ray") == runs.predictions("demo-local")


def test_what_the_cache_tells_comes_with_a_cell(tmp_path: Path) -> None:
    slot = object.__new__(WorkerSlot)  # its process would be ended with the one that has started it
    slot._log, slot._notes = tmp_path / "printed", ["made anew"]
    said = slot._said()
    assert next(said) == Notice("made anew")
    with pytest.raises(StopIteration):
        said.send("what Ray sends")


@pytest.mark.long
def test_a_node_that_goes_costs_nothing(runs: Runs, cluster: Cluster, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    plugin = write_plugin(tmp_path, "patient", f"while not Path({str(gate)!r}).exists() and REAL: time.sleep(0.02)")
    process = runs.start("gone", *runs.on_ray(), "--plugin", plugin, "--models", "patient")
    try:
        runs.wait_for_active("gone", 2)
        cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
        gate.touch()
        _, told = process.communicate(timeout=LIMIT_SECONDS)
    finally:
        process.kill()
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    assert process.returncode == 0, told
    assert "begun again" in told
    assert len(runs.predictions("gone")) == 4
    wait_until(lambda: not _left_of(runs, own_cluster=False), 30)


@pytest.mark.long
@pytest.mark.parametrize(
    ("fit", "reason"),
    [
        ("if REAL: os._exit(7)", "exited with code 7"),
        ("if REAL: os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
    ],
)
def test_a_plugin_that_crashes_costs_its_cells_only(runs: Runs, tmp_path: Path, fit: str, reason: str) -> None:
    plugin, out = write_plugin(tmp_path, "bad", fit), f"bad-{abs(hash(fit))}"
    code, told = runs.run(out, *runs.on_ray(), "--plugin", plugin)
    assert code == 1, told
    assert runs.predictions(out) == runs.predictions("local")
    reasons = runs.reasons(out)
    assert len(reasons) == 1
    assert reason in reasons.pop()
    assert "at work" in (runs.folder / out / "logs" / "bad.log").read_text()


@pytest.mark.long
def test_what_a_model_saves_in_folders_comes_back(runs: Runs, tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "saver", "pass")
    code, told = runs.run("saved", *runs.on_ray(), "--plugin", plugin, "--models", "saver")
    assert code == 0, told
    saved = list(runs.folder.glob("saved/cells/*/below/model.bin"))
    assert len(saved) == 4
    assert {file.read_bytes() for file in saved} == {b"saved" * 5_000_000}


@pytest.mark.long
@pytest.mark.parametrize("own_cluster", [True, False])
def test_an_interruption_leaves_no_process(runs: Runs, tmp_path: Path, *, own_cluster: bool) -> None:
    plugin = write_plugin(tmp_path, "slow", "time.sleep(600 if REAL else 0)")
    out, address = f"interrupted-{own_cluster}", "local" if own_cluster else runs.address
    process = runs.start(out, *runs.on_ray(address), "--plugin", plugin, "--models", "slow")
    runs.wait_for_active(out, 2)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130, told
    wait_until(lambda: not _left_of(runs, own_cluster=own_cluster), 30)


def _left_of(runs: Runs, *, own_cluster: bool) -> list[str]:
    """Name what is left of a run: on a cluster of its own everything, on another one its slots and their workers."""
    if own_cluster:
        return [" ".join(process.cmdline()) for process in processes_with(runs.mark)]
    named = [" ".join(process.cmdline()) for process in processes_with("cluster")]
    return [name for name in named if "WorkerSlot" in name or "forkserver" in name]


@pytest.mark.long
def test_a_cell_that_takes_too_long_is_ended(runs: Runs, tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "endless", "time.sleep(600 if REAL else 0)")
    limit = ("-o", "cell_seconds=15", "-o", "seeds=[0]", "-o", "strata=[100x]")
    code, told = runs.run("endless", *runs.on_ray(), "--plugin", plugin, "--models", "endless", *limit)
    assert code == 1, told
    assert runs.reasons("endless") == {"ended after 15 s, the config's cell_seconds; it had reported 0 epochs"}


@pytest.mark.long
def test_no_cluster_at_the_address_is_told_before_anything_is_measured(runs: Runs) -> None:
    code, told = runs.run("nowhere", *runs.on_ray("127.0.0.1:1"), "--models", "majority")
    assert code == 3
    assert "no connection to a Ray cluster at '127.0.0.1:1'" in told
    assert "timing models" not in told


def test_no_cluster_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none(*_: object, **__: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", find_none)
    with pytest.raises(
        EnvironmentMissingError, match="at 'auto': none runs on this machine, and RAY_ADDRESS is not set"
    ):
        refuse_unreachable("auto")


@pytest.mark.parametrize("name", ["../cell.json", "/etc/passwd", "a/../../b", "."])
def test_a_saved_file_keeps_to_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(CellError, match="no place in the cell's folder"):
        keep_part(tmp_path, SavedPart(name, b"x"))


def test_the_share_of_a_gpu_leaves_room() -> None:
    assert gpu_share(20 << 30, 80 << 30) == 0.3
    assert gpu_share(80 << 30, 80 << 30) == 1.0
