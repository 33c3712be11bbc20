"""Stand-ins for what does cells: they answer at once, so that what is left is the host's own work."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.plugin_api.model import EpochReport, ModelCard
from harness.plugin_api.reference import PluginReference
from harness.workers.messages import Answer, FitTask, Fitted, Measured, MeasureTask, Task, Tried
from harness.workers.serialization import encode

EPOCHS = 12
MODEL_BYTES = "HOST_BENCHMARK_MODEL_BYTES"
"""Environment variable: the size of what a stand-in saves as its model."""
MODEL_FILE = "model.safetensors"


def answers_to(task: Task) -> Iterator[Answer]:
    """Yield what a worker says of a task, without doing it: of a fit twelve epochs and probabilities."""
    if isinstance(task, MeasureTask):
        yield Measured(None, None, 1 << 20)
    elif isinstance(task, FitTask):
        yield from map(_epoch, range(1, EPOCHS + 1))
        yield _fitted(task)
    else:
        yield Tried()


def model_content() -> bytes:
    """Return what a stand-in saves."""
    return bytes(int(os.environ.get(MODEL_BYTES, "0")))


def supervise_stand_in(
    connection: Connection, tasks: Connection, _plugin: PluginReference, _model_name: str, _log: Path
) -> None:
    """Answer tasks in the place of :func:`harness.workers.supervisor.supervise`; no process is forked for them."""
    os.setsid()
    with suppress(EOFError, OSError):
        while connection.recv_bytes():
            task = tasks.recv()
            if isinstance(task, FitTask):
                (task.folder / MODEL_FILE).write_bytes(model_content())
            for answer in answers_to(task):
                connection.send_bytes(encode(answer))


class StandInSlot:
    """Answers cells in the place of :class:`harness.execution.ray_slot.WorkerSlot`; several slots may share one."""

    def introduce(self, distributions: Sequence[str]) -> Any:
        """Say what a worker slot says of itself."""
        import ray

        from harness.execution.ray_messages import Introduction
        from harness.execution.ray_slot import code_versions
        from harness.training.devices import versions

        node = ray.get_runtime_context().get_node_id()
        code = code_versions(distributions)
        return Introduction(os.getpid(), socket.gethostname(), node, {"type": "cpu"}, versions(), code)

    def lacking(self, _files: Sequence[Any]) -> list[Any]:
        """Lack nothing."""
        return []

    def work(self, order: Any, _sent: Any) -> Iterator[Any]:
        """Yield what comes of a cell: epochs, what is saved, and probabilities."""
        from harness.execution.ray_messages import PART_BYTES, SavedPart

        *epochs, fitted = answers_to(order.task)
        yield from (epoch for epoch in epochs)  # Ray sends into generators, and a list's iterator cannot take that
        content = model_content()
        for start in range(0, max(1, len(content)), PART_BYTES):
            yield SavedPart(MODEL_FILE, content[start : start + PART_BYTES])
        yield fitted


class SharedActors:
    """Actors that answer for many slots: a process a slot would need more memory than this machine has.

    Args:
        processes: How many actors.
        slots: That they stand for.
    """

    def __init__(self, processes: int, slots: int) -> None:
        self._slots_each, self._processes = -(-slots // processes), processes
        self._actors: Iterator[Any] | None = None

    def next(self, *_executor: Any) -> Any:
        """Return the actor of one more slot."""
        import ray

        if self._actors is None:
            options = {"num_cpus": 0, "max_concurrency": self._slots_each, "scheduling_strategy": "SPREAD"}
            kind = ray.remote(StandInSlot).options(**options)
            self._actors = itertools.cycle([kind.remote() for _ in range(self._processes)])
        return next(self._actors)


def _epoch(number: int) -> EpochReport:
    loss = 1 / number
    return EpochReport("final", number, loss, 1 - loss / 2, 1 - loss / 2, loss, 0.8, 0.8, 1000 * number, 0.1 * number)


def _fitted(task: FitTask) -> Fitted:
    rng = np.random.default_rng(task.seed)
    sides = (len(task.validation.labels), len(task.test.rows))
    validation, test = (_probabilities(rng, rows, len(task.setting.classes)) for rows in sides)
    card = ModelCard(parameters=7_000_000, trainable_parameters=7_000_000)
    return Fitted(validation, test, card, 1e-3, 1e-3, 1 << 20)


def _probabilities(rng: np.random.Generator, rows: int, classes: int) -> NDArray[np.float64]:
    return rng.dirichlet(np.ones(classes), rows)
