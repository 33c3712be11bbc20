"""Explanation of failed tasks in one line."""

from __future__ import annotations

import os
import re
import signal
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.durable import NO_ROOM
from harness.errors import HarnessError
from harness.plugin_api.conformance import CheckError
from harness.workers.messages import Failure

_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended.

    Attributes:
        exit_code: As :func:`os.waitstatus_to_exitcode` tells it: negative for a signal.
        peak_bytes: Of its memory.
        oom_kills: Processes that the system has killed for lack of memory since the process started.
    """

    exit_code: int
    peak_bytes: int
    oom_kills: int


def explain(error: BaseException, batch_size: int, device: torch.device) -> Failure:
    """Say what a plugin has raised; called in its process, while the exception is handled.

    Args:
        error: What was raised.
        batch_size: Of the run's schedule, for an estimate of one that fits.
        device: Of the cell.
    """
    trace = traceback.format_exc()
    if isinstance(error, torch.OutOfMemoryError):
        return Failure(_out_of_device_memory(_line(error), batch_size, device), trace, "memory")
    if isinstance(error, MemoryError):
        return Failure(f"out of memory on the CPU: {_named(error)}", trace, "memory")
    if isinstance(error, SystemExit):
        return Failure(f"the plugin called sys.exit({error.code!r})", trace)
    if isinstance(error, CheckError):
        return Failure(error.line, trace, "certain")
    message = _line(error) if isinstance(error, HarnessError) else _named(error)
    return Failure(message, trace, "disk" if _is_about_room(error) else "plugin")


def explain_exit(status: ExitStatus, log: Path) -> Failure:
    """Say why a process has ended without an answer."""
    message = f"what it printed is in {log}"
    if status.exit_code >= 0:
        return Failure(f"the worker process exited with code {status.exit_code} in the middle of its work; {message}")
    name = _signal_name(-status.exit_code)
    peak = f"{status.peak_bytes / 1e9:.2f} GB"
    if -status.exit_code != signal.SIGKILL:
        return Failure(f"the worker process crashed: killed by {name}; {message}")
    if status.oom_kills > 0:
        return Failure(f"the system was out of memory and killed the worker process ({name}) at {peak}", "", "memory")
    return Failure(
        f"the worker process was killed from outside ({name}) at {peak}, by a person or for lack of memory",
        "",
        "memory",
    )


def count_oom_kills() -> int:
    """Return how many processes the system has killed for lack of memory since it started; 0 where it does not tell."""
    try:
        found = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return 0
    return int(found.group(1)) if found else 0


def batch_that_fits(batch_size: int, needed_bytes: int, available_bytes: int) -> int:
    """Estimate the largest batch for which memory suffices, as if memory grew with the batch alone; at least 1."""
    return max(1, min(batch_size - 1, batch_size * available_bytes // max(needed_bytes, 1)))


def _out_of_device_memory(line: str, batch_size: int, device: torch.device) -> str:
    if device.type != "cuda":
        return f"out of memory on the device: {line}"
    peak = torch.cuda.max_memory_allocated(device)
    needed = torch.cuda.memory_allocated(device) + _requested_bytes(line)
    available = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    fitting = batch_that_fits(batch_size, max(needed, peak), available)
    return (
        f"out of memory on {device} at a peak of {peak / 1e9:.2f} GB, with {available / 1e9:.2f} GB there for this "
        f"cell - a batch of about {fitting} would fit (-o schedule.batch_size={fitting}, now {batch_size}), or run "
        "fewer --jobs"
    )


def _requested_bytes(line: str) -> int:
    found = re.search(r"Tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)", line)
    return int(float(found.group(1)) * _UNITS[found.group(2)]) if found else 0


def _is_about_room(error: BaseException) -> bool:
    """Tell a full or read-only disk, also where a library has made it an exception of its own."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return True
    return any(os.strerror(code) in _line(error) for code in NO_ROOM)


def _named(error: BaseException) -> str:
    line = _line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _line(error: BaseException) -> str:
    try:
        return str(error).strip().partition("\n")[0]
    except Exception:  # noqa: BLE001 - a plugin's exception may fail at this too
        return ""


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    meaning = signal.strsignal(number)
    return f"{name}, {meaning.lower()}" if meaning else name
