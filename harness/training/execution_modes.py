"""Execution modes of training steps: eager, compiled, captured as CUDA graphs.

A step here is a function without arguments that takes everything from tensors on the device and leaves everything there
(the next batch's place, learning rate, optimiser state, sums), so that a replay needs nothing of the host. What the
device lacks is loaded before.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from harness.training.auto import CAPTURED, COMPILED, EAGER

_WARM_UP = 3  # steps before a capture: libraries set themselves up, the allocator settles


class Step(Protocol):
    """What can be executed in several ways."""

    @property
    def state(self) -> Sequence[torch.Tensor]:
        """Every tensor that a call changes."""

    def use_compiled(self, *, compiled: bool) -> None:
        """Say whether the network is to be compiled."""

    def load(self) -> None:
        """Bring to the device what the next call needs; not called before those of a warm-up."""

    def __call__(self) -> None:
        """Execute the step."""


@dataclass(frozen=True)
class Prepared:
    """A step, ready to be run.

    Attributes:
        run: Loads what it needs and executes it.
        message: How, in words; with the reason where it is not as wished.
        seconds: What compilation, warm-up and capture took.
    """

    run: Callable[[], None]
    message: str
    seconds: float


def prepare(step: Step, execution_mode: str, device: torch.device) -> Prepared:
    """Make a step ready. Its state and the random numbers are afterwards as they were before.

    Args:
        step: What to execute.
        execution_mode: From :func:`~harness.training.auto.resolve_execution_mode`. Where the network cannot be
            compiled or captured, the next simpler way is taken.
        device: Of the step's tensors.
    """
    started = clock(device)
    failures: list[str] = []
    for compiled, captured in _ways(execution_mode, device):
        step.use_compiled(compiled=compiled)
        name = " and ".join([COMPILED] * compiled + [CAPTURED] * captured) or EAGER
        message = ", ".join([name, *failures])
        if not (compiled or captured):
            break
        try:
            with _undone(step, device):
                run = _capture(step, device) if captured else _warm(step)
        except torch.OutOfMemoryError:
            raise  # another way would not need less, and the cell may be tried again with nothing beside it
        except Exception as error:  # noqa: BLE001 - compilers and captured libraries raise whatever they like
            failures.append(f"not {name}: {_first_line(error)}")
            continue
        return Prepared(_loaded(step, run), message, clock(device) - started)
    return Prepared(_loaded(step, step), message, clock(device) - started)


def set_up_process(threads: int) -> None:
    """Set torch to what every training runs with: so many CPU threads, repeatable kernels, float32 without TF32."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def keep_kernels_in(folder: Path) -> None:
    """Have torch.compile keep kernels in a folder, so that another process need not compile them again.

    The environment's ``TORCHINDUCTOR_CACHE_DIR`` goes before it. A path with a space breaks the command by which torch
    calls the C++ compiler (2.14): kernels stay in torch's own temporary folder then.
    """
    if not any(map(str.isspace, str(folder))):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def clock(device: torch.device) -> float:
    """Return seconds, after whatever the device has been asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _ways(execution_mode: str, device: torch.device) -> list[tuple[bool, bool]]:
    """List what to try, as (compiled, captured)."""
    captures = device.type == "cuda" and execution_mode != EAGER
    compiles = execution_mode == COMPILED
    ways = [(compiles, captures), (False, captures), (False, False)]
    return list(dict.fromkeys(ways))


def _loaded(step: Step, run: Callable[[], None]) -> Callable[[], None]:
    def load_and_run() -> None:
        step.load()
        run()

    return load_and_run


def _warm(step: Step) -> Callable[[], None]:
    step()
    return step


@dataclass(frozen=True)
class _Replay:
    """A recorded step. A graph holds addresses, not tensors, so the step is kept with it."""

    step: Step
    graph: torch.cuda.CUDAGraph

    def __call__(self) -> None:
        self.graph.replay()


def _capture(step: Step, device: torch.device) -> _Replay:
    """Record one step as a CUDA graph; it is executed by the replays only."""
    with torch.cuda.device(device):
        here = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                step()
            with _refusing_to_wait():
                step()
        here.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(here), torch.cuda.graph(graph):
            step()
    return _Replay(step, graph)


@contextlib.contextmanager
def _refusing_to_wait() -> Iterator[None]:
    """Let a step that asks the device for an answer fail before a capture begins, which it would leave half done."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextlib.contextmanager
def _undone(step: Step, device: torch.device) -> Iterator[None]:
    """Take back what warm-up has changed, whether it succeeds or not."""
    before = [tensor.detach().clone() for tensor in step.state]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(step.state, before, strict=True):
                tensor.copy_(value)


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
