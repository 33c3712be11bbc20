"""Nodes of a Ray cluster that are not like the host: without its folders, of other versions, of another kind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed; done by 'make test-ray'")
from ray.cluster_utils import Cluster
from ray_runs import STORE_BYTES, Runs, wait_until, write_plugin
from small_runs import run_module

from harness.errors import EnvironmentMissingError
from harness.execution.ray_cluster import compare_versions
from harness.execution.ray_messages import Introduction

pytestmark = [pytest.mark.ray, pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]

Join = Callable[..., str]


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    """Starts a cluster of one node with room, on which commands have changed what is mounted; returns its address."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not change what a process finds mounted")
    with ExitStack() as stack:
        yield lambda mount, **environment: stack.enter_context(_node(tmp_path / "node", mount, environment))


@contextmanager
def _node(cache: Path, mount: str, environment: dict[str, str]) -> Iterator[str]:
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={cluster.address}", "--num-cpus=1"]
    start += [f"--object-store-memory={STORE_BYTES}", "--disable-usage-stats", "--block"]
    command = f"{mount} && exec {shlex.join(start)}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "HARNESS_CACHE": str(cache), **environment}
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", command], env=environment, start_new_session=True, **quiet
    ) as node:
        try:
            wait_until(lambda: _n_nodes(cluster.address) == 2)
            yield cluster.address
        finally:
            node.send_signal(signal.SIGTERM)
            cluster.shutdown()


def _n_nodes(address: str) -> int:
    listed = run_module("ray.scripts.scripts", "status", "--address", address, cwd=Path.cwd())
    return sum(" node_" in line for line in listed.splitlines())


@pytest.mark.long
def test_a_node_without_the_hosts_folders_gets_all_by_content(join: Join, phantom: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "host"
    hidden.mkdir()
    runs = Runs(hidden, phantom, join(f"mount -t tmpfs none '{hidden}'"))
    (hidden / "plugin").mkdir()
    plugin = write_plugin(hidden / "plugin", "sent", "print('checkpoint is', context.checkpoint)")
    code, told = runs.run("local", "--jobs", 2)
    assert code == 0, told
    code, told = runs.run("run", *runs.on_ray(), "--plugin", plugin)
    assert code == 0, told
    got = runs.predictions("run")
    assert {cell: got[cell] for cell in runs.predictions("local")} == runs.predictions("local")
    received = sorted(file.name for file in (tmp_path / "node" / "received").glob("*/*") if file.name != "seal.json")
    assert received == ["pixels.npy", "sent.py"]
    assert "checkpoint is /" not in (hidden / "run" / "logs" / "sent.log").read_text()


@pytest.mark.long
def test_a_node_of_another_kind_with_other_libraries_is_named_where_the_config_says_so(
    join: Join, phantom: Path, tmp_path: Path
) -> None:
    (tmp_path / "libraries" / "timm-0.0.1.dist-info").mkdir(parents=True)
    (tmp_path / "libraries" / "timm-0.0.1.dist-info" / "METADATA").write_text("Name: timm\nVersion: 0.0.1\n")
    (tmp_path / "cpuinfo").write_text("model name\t: Another One\n")
    mount = f"mount --bind '{tmp_path / 'cpuinfo'}' /proc/cpuinfo"
    runs = Runs(tmp_path, phantom, join(mount, PYTHONPATH=str(tmp_path / "libraries")))
    code, told = runs.run("run", *runs.on_ray())
    assert (code, "has timm 0.0.1; this machine has timm 1" in told) == (3, True), told
    assert not runs.predictions("run")

    code, told = runs.run("run", "--jobs", 2, "-o", "strata=[100x]")
    assert code == 0, told
    code, told = runs.run("run", *runs.on_ray(), "-o", "other_versions=name")
    assert code == 0, told
    assert "has timm 0.0.1; this machine has timm 1" in told
    records = [json.loads(file.read_text()) for file in tmp_path.glob("run/cells/*-200x-*/cell.json")]
    assert len(records) == 4
    for record in records:
        assert (record["versions"]["timm"], record["device"]["name"]) == ("0.0.1", "Another One")
        assert record["timings"]["images_per_second_alone"] is record["timings"]["calibration_seconds"] is None
    table = (tmp_path / "run" / "tables" / "table5.md").read_text()
    assert "| densenet (mixed machines) " in table
    assert "not measured on Another One" in table
    assert "NOT COMPARABLE in cost: majority, densenet, of which cells ran where no speed was measured" in table
    assert "Mixed library versions: timm 0.0.1 and 1" in table


OWN = {"python": "3.11.7", "torch": "2.14.1", "breakhis-harness": "1.0", "mine": "1.0"}


def _about(torch: str = "2.14.1", harness: str = "1.0", mine: str = "1.0") -> Introduction:
    versions = {"python": "3.11.7", "torch": torch, "breakhis-harness": harness}
    return Introduction(1, "far", "0123456789ab", {}, versions, {"mine": mine})


def test_a_node_with_other_versions_is_refused_by_name() -> None:
    about = _about(torch="2.9.0", mine="not installed")
    with pytest.raises(EnvironmentMissingError, match=r"^node far \(01234567\) has torch 2\.9\.0, mine not inst"):
        compare_versions(OWN, about, libraries_may_differ=False)


def test_other_libraries_are_named_and_other_code_is_refused() -> None:
    assert compare_versions(OWN, _about(), libraries_may_differ=True) is None
    says = "node far (01234567) has torch 2.9.0; this machine has torch 2.14.1"
    assert compare_versions(OWN, _about(torch="2.9.0"), libraries_may_differ=True) == says
    for about in (_about(torch="2.9.0", harness="1.1"), _about(torch="2.9.0", mine="1.1")):
        with pytest.raises(EnvironmentMissingError, match=r"has (breakhis-harness|mine) 1\.1; .* - install the same"):
            compare_versions(OWN, about, libraries_may_differ=True)
