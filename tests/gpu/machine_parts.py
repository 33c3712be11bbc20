"""The machine, and how fast it copies and multiplies."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import torch
from setting import HERE, Setting

from harness.training.concurrent import train_for
from harness.training.devices import describe_device, resolve_device, versions

ROOT = HERE.parents[1]
Row = dict[str, Any]


def describe(setting: Setting) -> Iterator[Row]:
    """Give one row: what a figure of this record depends on beside the code."""
    device = resolve_device(setting.device)
    cuda = device.type == "cuda"
    yield {
        "device": describe_device(device)["name"],
        "memory (GB)": round(torch.cuda.get_device_properties(device).total_memory / 1e9, 1) if cuda else "-",
        "driver": _driver() if cuda else "-",
        "CUDA of torch": torch.version.cuda or "-",
        "cuDNN": torch.backends.cudnn.version() if cuda else "-",
        "processor": describe_device(torch.device("cpu"))["name"],
        "cores": os.cpu_count(),
        "size": setting.size.name,
        **versions(),
    }


def ceilings(setting: Setting) -> Iterator[Row]:
    """Copy memory on the device and to it, and multiply matrices of bfloat16."""
    device, size = torch.device(setting.device), setting.size
    source, target = (torch.ones(size.copied_bytes, dtype=torch.uint8, device=device) for _ in range(2))
    yield _speed(
        "copy on the device, read and written", lambda: target.copy_(source), 2e-9 * len(source), "GB/s", setting
    )
    for name, pinned in (("pageable", False), ("pinned", device.type == "cuda")):
        host = torch.ones(size.copied_bytes, dtype=torch.uint8, pin_memory=pinned)
        copy = lambda host=host: target.copy_(host, non_blocking=True)  # noqa: E731
        yield _speed(f"copy from the host, {name}", copy, 1e-9 * len(host), "GB/s", setting)
    left, right = (torch.randn(2 * [size.product_side], device=device, dtype=torch.bfloat16) for _ in range(2))
    flop = 2 * size.product_side**3
    yield _speed(
        f"product of {size.product_side} x {size.product_side}", lambda: left @ right, 1e-12 * flop, "TFLOP/s", setting
    )


def _speed(what: str, work: Any, amount: float, unit: str, setting: Setting) -> Row:
    device = torch.device(setting.device)
    train_for(work, setting.size.seconds, device)
    times, took = train_for(work, setting.size.seconds, device)
    return {"what": what, "speed": times * amount / took, "unit": unit}


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"not told: {error}"
    return done.stdout.splitlines()[0].strip()


def hash_of_sources() -> str:
    """Hash what a figure depends on: a commit does not tell of files that were changed since."""
    found = hashlib.sha256()
    for folder in ("harness", "plugins", "configs", "tests"):
        for file in sorted(file for file in (ROOT / folder).rglob("*") if file.suffix in {".py", ".yaml"}):
            found.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return found.hexdigest()[:16]
