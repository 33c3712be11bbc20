"""What ``auto`` stands for on a type of device; decided without torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from harness.plugin_api.schedule import ExecutionMode, Precision

EAGER: Literal["eager"] = "eager"
CAPTURED: Literal["captured"] = "captured"
COMPILED: Literal["compiled"] = "compiled"
_DEVICES = Path("/dev")
_GPU_DEVICES = ("nvidia[0-9]*", "nvidiactl", "dxg", "nvhost-*", "nvmap", "kfd")


def resolve_precision(wish: Precision, device_type: str) -> str:
    """Return ``bf16`` or ``float32``."""
    if wish != "auto":
        return wish
    return "bf16" if device_type == "cuda" else "float32"


def resolve_execution_mode(wish: ExecutionMode, device_type: str) -> str:
    """Return ``eager``, ``captured`` or ``compiled``: what ``auto`` is on a device, and what a device can do.

    On CUDA ``compiled`` steps are captured as well. The CPU has no graphs, so ``captured`` is eager there.
    """
    if device_type == "cuda":
        return CAPTURED if wish == "auto" else wish
    return COMPILED if wish == COMPILED else EAGER


def device_type_of(wish: str) -> str | None:
    """Return ``cpu`` or ``cuda`` for the device that a config names; None where only torch can tell.

    ``auto`` is the CPU where the system has no file of a GPU that torch could use as CUDA.
    """
    if wish != "auto":
        return wish.partition(":")[0]
    if sys.platform.startswith("linux") and not any(any(_DEVICES.glob(name)) for name in _GPU_DEVICES):
        return "cpu"
    return None
