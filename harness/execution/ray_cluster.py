"""The connection to a Ray cluster."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from harness.errors import EnvironmentMissingError, UsageError
from harness.execution.ray_messages import Introduction
from harness.training.devices import NOT_RECORDED, differing_versions

AUTO = "auto"
"""The address of the cluster that this machine belongs to, or of ``$RAY_ADDRESS``."""
LOCAL = "local"
"""The address of a cluster of this machine alone, started for a run and ended with it."""

_SECONDS_TO_ANSWER = 10.0
_OBJECT_STORE_BYTES = 200 << 20
_GPU_SHARE = 0.9
_CONTEXT_BYTES = 1 << 30  # of a process on a GPU, before its first tensor


def refuse_unreachable(address: str) -> None:
    """Refuse an address at which nobody answers, before anything is measured: Ray would go on trying for minutes.

    Args:
        address: ``auto``, ``HOST:PORT``, or ``local``.

    Raises:
        UsageError: It is no address.
        EnvironmentMissingError: Nobody answers there.
    """
    given = os.environ.get("RAY_ADDRESS", AUTO) if address == AUTO else address
    if given == LOCAL:
        return
    if given == AUTO:
        _init(AUTO)
        ray.shutdown()
        return
    host, _, port = given.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise UsageError(f"'{given}' is no address of a Ray cluster - it is {AUTO}, HOST:PORT or {LOCAL}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise EnvironmentMissingError(_no_connection(given, str(error))) from error


def connect(address: str, cpus: int, gpus: float, jobs: int) -> None:
    """Connect this process to a cluster, or start one.

    Args:
        address: ``auto``, ``HOST:PORT``, or ``local``.
        cpus: That a cell takes.
        gpus: Likewise.
        jobs: Cells at once, for which a cluster of this machine alone is given CPUs.

    Raises:
        EnvironmentMissingError: There is no cluster at the address, or another Ray or Python; or no node is large
            enough for a cell.
    """
    own = {"num_cpus": cpus * jobs, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    _init(address, **(own if address == LOCAL else {}))
    try:
        _require_room(cpus, gpus)
    except EnvironmentMissingError:
        ray.shutdown()
        raise


def _init(address: str, **options: Any) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the future default, and no warning of it
    try:
        ray.init(address, log_to_driver=False, logging_level="error", **options)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        is_none = address == AUTO and "RAY_ADDRESS" not in os.environ and isinstance(error, ConnectionError)
        reason = "none runs on this machine, and RAY_ADDRESS is not set" if is_none else " ".join(str(error).split())
        raise EnvironmentMissingError(_no_connection(address, reason)) from error


def _require_room(cpus: int, gpus: float) -> None:
    """Refuse a cluster of which no node could ever hold a worker slot."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        wanted = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
        raise EnvironmentMissingError(
            f"none of the cluster's {len(nodes)} nodes has {wanted}, which one cell takes - add such a node, or lower "
            "'threads' in the config"
        )


def compare_versions(own: Mapping[str, str], about: Introduction, *, libraries_may_differ: bool) -> str | None:
    """Compare a node's versions with the host's.

    Args:
        own: Of Python, the libraries and the code, on the host.
        about: The node's.
        libraries_may_differ: Whether other versions of Python and the libraries are only named.

    Returns:
        What differs and may, in a sentence; None where nothing does.

    Raises:
        EnvironmentMissingError: Something differs that must not; all of it is named.
    """
    there = {**about.versions, **about.code}
    refused, named = differing_versions(own, there, libraries_may_differ=libraries_may_differ)
    if refused:
        says = _differing(refused, own, about)
        raise EnvironmentMissingError(
            f"{says} - install the same there, or take the node out of the cluster; -o other_versions=name lets Python "
            "and the libraries differ"
        )
    return _differing(named, own, about) if named else None


def _differing(other: Mapping[str, str], own: Mapping[str, str], about: Introduction) -> str:
    there = ", ".join(f"{name} {found}" for name, found in other.items())
    here = ", ".join(f"{name} {own.get(name, NOT_RECORDED)}" for name in other)
    return f"node {about.host} ({about.node[:8]}) has {there}; this machine has {here}"


def _no_connection(address: str, reason: str) -> str:
    return (
        f"no connection to a Ray cluster at '{address}': {reason} - start one with 'ray start --head', or say "
        f"--ray-address {LOCAL}"
    )


def gpu_share(peak_bytes: int, total_bytes: int) -> float:
    """Return the part of a GPU that a cell takes, from what the largest model was measured to take; at most 1.

    Ray counts parts of GPUs and holds nobody to them, so there is room left.

    Args:
        peak_bytes: Of tensors.
        total_bytes: Of the device's memory.
    """
    needed = (peak_bytes + _CONTEXT_BYTES) / (_GPU_SHARE * total_bytes)
    return min(1.0, math.ceil(100 * needed) / 100)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn the loss of the whole cluster into an error for a person.

    Raises:
        EnvironmentMissingError: Ray has failed, and not at a cell.
    """
    try:
        yield
    except RayError as error:
        reason = str(error).partition("\n")[0]
        raise EnvironmentMissingError(
            f"the Ray cluster is lost: {type(error).__name__}: {reason} - what is finished is kept; the same command "
            "goes on"
        ) from error
