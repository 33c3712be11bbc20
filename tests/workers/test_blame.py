import errno
import signal
from pathlib import Path

import pytest
import torch

from harness.errors import DivergedError, EnvironmentMissingError
from harness.workers.failures import ExitStatus, batch_that_fits, explain, explain_exit

LOG = Path("logs/x.log")


class MuteError(Exception):
    def __str__(self):
        raise ValueError


def raised_and_explained(error):
    try:
        raise error  # noqa: TRY301
    except BaseException as raised:  # noqa: BLE001
        return explain(raised, 32, torch.device("cpu"))


@pytest.mark.parametrize(
    ("error", "reason", "cause"),
    [
        (ValueError("a\nb"), "ValueError: a", "plugin"),
        (RuntimeError(), "RuntimeError", "plugin"),
        (MuteError(), "MuteError", "plugin"),
        (DivergedError("diverged in epoch 3"), "diverged in epoch 3", "plugin"),
        (SystemExit(2), "the plugin called sys.exit(2)", "plugin"),
        (MemoryError(), "out of memory on the CPU: MemoryError", "memory"),
        (torch.OutOfMemoryError("full"), "out of memory on the device: full", "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "OSError: [Errno 28] No space left on device", "disk"),
        (EnvironmentMissingError("cannot write x: No space left on device"), "cannot write x: No space left", "disk"),
        (
            RuntimeError("writing: No space left on device (os error 28)"),
            "RuntimeError: writing: No space left",
            "disk",
        ),
        (OSError(errno.ENOENT, "no"), "FileNotFoundError: [Errno 2] no", "plugin"),
    ],
)
def test_what_was_raised(error, reason, cause):
    failure = raised_and_explained(error)
    assert failure.reason.startswith(reason)
    assert failure.cause == cause
    assert type(error).__name__ in failure.traceback


@pytest.mark.parametrize(
    ("death", "reason", "cause"),
    [
        (ExitStatus(7, 0, 0), "exited with code 7", "plugin"),
        (ExitStatus(-signal.SIGSEGV, 0, 0), "crashed: killed by SIGSEGV, segmentation fault", "plugin"),
        (ExitStatus(-signal.SIGKILL, 3_000_000_000, 0), "from outside (SIGKILL, killed) at 3.00 GB", "memory"),
        (ExitStatus(-signal.SIGKILL, 3_000_000_000, 1), "the system was out of memory", "memory"),
        (ExitStatus(-250, 0, 0), "signal 250", "plugin"),
    ],
)
def test_how_a_process_died(death, reason, cause):
    failure = explain_exit(death, LOG)
    assert reason in failure.reason
    assert failure.cause == cause


def test_the_batch_that_fits():
    assert batch_that_fits(32, needed_bytes=16, available_bytes=8) == 16
    assert batch_that_fits(32, needed_bytes=8, available_bytes=8) == 31
    assert batch_that_fits(32, needed_bytes=10**12, available_bytes=1) == 1


def test_a_full_gpu_says_which_batch_would_fit(monkeypatch):
    figures = {"max_memory_allocated": 6 << 30, "memory_allocated": 5 << 30, "memory_reserved": 6 << 30}
    for name, value in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1 << 30, 8 << 30))
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has ...")
    failure = explain(error, 32, torch.device("cuda"))
    assert failure.cause == "memory"
    assert "peak of 6.44 GB" in failure.reason
    assert "schedule.batch_size=16, now 32" in failure.reason
