"""Devices, versions and commit of a run."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from harness.errors import EnvironmentMissingError

NOT_RECORDED = "not recorded"
_HARNESS = "breakhis-harness"
_RECORDED = (_HARNESS, "torch", "torchvision", "timm", "numpy", "scikit-learn", "scikit-image", "pandas")


def resolve_device(wish: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` into a device.

    Raises:
        EnvironmentMissingError: CUDA was asked for and is not there.
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(("cuda" if n_gpus else "cpu") if wish == "auto" else wish)
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        raise EnvironmentMissingError(f"device {wish} is not there ({n_gpus} CUDA devices found) - use --device cpu")
    return device


def list_devices(device: torch.device) -> list[str]:
    """Return the devices over which cells are spread: all of CUDA's where none is named, otherwise the one."""
    if str(device) == "cuda":
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [str(device)]


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results can depend on."""
    found = {"python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def differing_versions(
    expected: Mapping[str, str], found: Mapping[str, str], *, libraries_may_differ: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Compare the versions on a node with those that a run expects.

    Args:
        expected: By name, as :func:`versions` tells; others may be among them, of plugins for example.
        found: On the node, likewise.
        libraries_may_differ: Whether Python and the libraries need not be the same. All else must always be.

    Returns:
        What the node has in place of the expected versions: first what must not be, then what may.
    """
    names = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    other = {name: found.get(name, NOT_RECORDED) for name in names}
    libraries = {"python", *_RECORDED} - {_HARNESS} if libraries_may_differ else set()
    refused = {name: version for name, version in other.items() if name not in libraries}
    return refused, {name: version for name, version in other.items() if name in libraries}


def describe_device(device: torch.device) -> dict[str, Any]:
    """Name a device."""
    if device.type == "cuda":
        return {"type": "cuda", "name": torch.cuda.get_device_name(device)}
    return {"type": "cpu", "name": _cpu_name(), "machine": platform.machine()}


def git_commit() -> str | None:
    """Return the commit of the checkout that the command is run in, ``+`` where files differ from it; None outside."""
    head = _git("rev-parse", "HEAD")
    return head + ("+" if _git("status", "--porcelain") else "") if head else None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603, S607
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()
