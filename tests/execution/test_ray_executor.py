"""The executor of cells on a Ray cluster: two nodes of this machine, one of which goes, and plugins that crash."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed; done by 'make test-ray'")
from ray.cluster_utils import Cluster
from small_runs import run_module

from harness.errors import CellError, EnvironmentMissingError
from harness.execution.ray_cluster import gpu_share, refuse_other_versions
from harness.execution.ray_files import keep_part
from harness.execution.ray_messages import Introduction, SavedPart
from harness.execution.ray_slot import WorkerSlot
from harness.workers.messages import Notice

pytestmark = [pytest.mark.ray, pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]

_STORE_BYTES = 100 << 20
_LIMIT_SECONDS = 300
_MARK = "HARNESS_RAY_TEST"

CONFIG = """
protocol: holdout
device: cpu
strata: [100x, 200x]
seeds: [0, 1]
pixels: {size: 32}
schedule: {epochs: 3, batch_size: 8, learning_rate: 0.02, augmentation: random}
models:
  majority: {}
  densenet: {options: {growth_rate: 4, block_config: [1, 1]}}
"""

# the shipped demo, cut in size
DEMO = ("demo", "-o", "protocol=holdout", "-o", "strata=[200x]", "-o", "pixels.size=32", "-o", "schedule.epochs=2")
DEMO += ("-o", "data.phantom={accessions: 18, images: 2, size: 32}")
DEMO += tuple(
    part for source in ("natural", "lung") for part in ("-o", f"models.deep-transfer.options.{source}.epochs=1")
)

PLUGIN = """
import os, time
from pathlib import Path
import numpy as np
from harness import EpochReport, Model, ModelCard, hookimpl

class Mean(Model):
    name = "NAME"
    def fit(self, train, validation, context):
        print("at work")
        REAL = context.checkpoint is not None
        FIT
    def predict_proba(self, images):
        return np.tile([0.25, 0.75], (len(images), 1))
    def describe(self):
        return ModelCard()
    def save(self, folder):
        (folder / "below").mkdir()
        (folder / "below" / "model.bin").write_bytes(b"saved" * 5_000_000)
    def load(self, folder, device, n_classes):
        pass

@hookimpl
def harness_register_models(register):
    register(Mean)
"""


def write_plugin(folder: Path, name: str, fit: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text(PLUGIN.replace("NAME", name).replace("FIT", fit))
    return file


class Runs:
    """Runs of one config in processes of their own, on images and with a cache of theirs."""

    def __init__(self, folder: Path, images: Path, address: str) -> None:
        self.folder, self.images, self.address = folder, images, address
        self.mark = uuid.uuid4().hex
        (folder / "config.yaml").write_text(CONFIG)

    def start(self, out: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        own_config = (self.folder / "config.yaml", "--data", self.images)
        return self.start_config(out, *own_config, *arguments, **environment)

    def start_config(self, out: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        given = ["run", *arguments, "--out", self.folder / out]
        own = {"HARNESS_CACHE": str(self.folder / "cache"), "COLUMNS": "200", _MARK: self.mark}
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *map(str, given)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **own, **environment},
            start_new_session=True,
        )

    def run(self, out: str, *arguments: object) -> tuple[int, str]:
        return ended(self.start(out, *arguments))

    def on_ray(self, address: str | None = None) -> tuple[object, ...]:
        return "--executor", "ray", "--ray-address", address or self.address, "--jobs", 2

    def predictions(self, out: str) -> dict[str, bytes]:
        return {file.parent.name: file.read_bytes() for file in self.folder.glob(f"{out}/cells/*/predictions.parquet")}

    def reasons(self, out: str) -> set[str]:
        records = [json.loads(file.read_text()) for file in self.folder.glob(f"{out}/cells/*/cell.json")]
        return {record["error"]["reason"] for record in records if record["state"] == "failed"}

    def wait_for_active(self, out: str, cells: int) -> None:
        """Wait until so many cells are at work."""
        wait_until(lambda: len(list(self.folder.glob(f"{out}/active/*.json"))) >= cells)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, told = process.communicate(timeout=_LIMIT_SECONDS)
    return process.returncode, told


def wait_until(true: Callable[[], object], seconds: float = _LIMIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_with(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes with room for one cell each; their processes have a mark of their own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        monkeypatch.setenv(_MARK, "cluster")
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("nodes")))
        node = {"num_cpus": 1, "object_store_memory": _STORE_BYTES}
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
        _, told = process.communicate(timeout=_LIMIT_SECONDS)
    finally:
        process.kill()
        cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES)
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
    _, told = process.communicate(timeout=_LIMIT_SECONDS)
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


def test_no_cluster_at_the_address(runs: Runs) -> None:
    code, told = runs.run("nowhere", *runs.on_ray("127.0.0.1:1"), "--models", "majority")
    assert code == 3
    assert "no connection to a Ray cluster at '127.0.0.1:1'" in told


@pytest.fixture
def strange_node(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a cluster whose only node with room sees nothing of a folder, and the folder."""
    hidden = tmp_path / "host"
    hidden.mkdir()
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not hide folders from a process")
    head = {"num_cpus": 0, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={cluster.address}", "--num-cpus=1"]
    start += [f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats", "--block"]
    command = f"mount -t tmpfs none '{hidden}' && exec {shlex.join(start)}"
    environment = {**os.environ, "HARNESS_CACHE": str(tmp_path / "node")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", command], env=environment, start_new_session=True, **quiet
    ) as node:
        try:
            wait_until(lambda: len(cluster_nodes(cluster.address)) == 2)
            yield cluster.address, hidden
        finally:
            node.send_signal(signal.SIGTERM)
            cluster.shutdown()


def cluster_nodes(address: str) -> list[str]:
    listed = run_module("ray.scripts.scripts", "status", "--address", address, cwd=Path.cwd())
    return [line for line in listed.splitlines() if " node_" in line]


@pytest.mark.long
def test_a_node_without_the_hosts_folders_gets_all_by_content(
    runs: Runs, strange_node: tuple[str, Path], tmp_path: Path
) -> None:
    address, hidden = strange_node
    (hidden / "plugin").mkdir()
    plugin = write_plugin(hidden / "plugin", "sent", "print('checkpoint is', context.checkpoint)")
    own = Runs(hidden, runs.images, address)
    code, told = own.run("run", *own.on_ray(), "--plugin", plugin)
    assert code == 0, told
    got = own.predictions("run")
    assert {cell: got[cell] for cell in runs.predictions("local")} == runs.predictions("local")
    received = sorted(file.name for file in (tmp_path / "node" / "received").glob("*/*") if file.name != "seal.json")
    assert received == ["pixels.npy", "sent.py"]
    assert "checkpoint is /" not in (hidden / "run" / "logs" / "sent.log").read_text()


def test_a_node_with_other_versions_is_refused_by_name() -> None:
    about = Introduction(1, "far", "0123456789ab", {}, {"python": "3.11.7", "torch": "2.9.0", "mine": "not installed"})
    with pytest.raises(EnvironmentMissingError, match=r"^node far \(01234567\) has torch 2\.9\.0, mine not inst"):
        refuse_other_versions({"python": "3.11.7", "torch": "2.14.1", "mine": "1.0"}, about)


@pytest.mark.parametrize("name", ["../cell.json", "/etc/passwd", "a/../../b", "."])
def test_a_saved_file_keeps_to_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(CellError, match="no place in the cell's folder"):
        keep_part(tmp_path, SavedPart(name, b"x"))


def test_the_share_of_a_gpu_leaves_room() -> None:
    assert gpu_share(20 << 30, 80 << 30) == 0.3
    assert gpu_share(80 << 30, 80 << 30) == 1.0
