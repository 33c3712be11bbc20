"""Throughput of several trainings at once on one device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import torch

from harness.cache import Cache
from harness.errors import CellError
from harness.plugin_api.discovery import load_plugin
from harness.plugin_api.model import FitContext, LabeledImages
from harness.plugin_api.reference import PluginReference
from harness.plugin_api.schedule import Schedule
from harness.processes import die_with_parent, forkserver, mute_output
from harness.training.execution_modes import clock, set_up_process
from harness.training.torch_model import TorchModel

_SAMPLE_BATCHES = 4
_UNWATCHED = 8


@dataclass(frozen=True)
class TrainingSpec:
    """What is to be trained on random images.

    Attributes:
        plugin: Where the model's plugin is.
        model: The model's name.
        options: Its options as JSON values.
        n_classes: Of the network's output.
        size: Side of the images in pixels.
        schedule: Batch size, augmentation and precision; more than six epochs let a frozen prefix be cached.
        device: As torch names it.
        execution_mode: From :func:`~harness.training.auto.resolve_execution_mode`.
        threads: CPU threads of each process.
    """

    plugin: PluginReference
    model: str
    options: dict[str, Any]
    n_classes: int
    size: int
    schedule: Schedule
    device: str
    execution_mode: str
    threads: int

    def make(self) -> TorchModel:
        """Make the model.

        Raises:
            TypeError: It is no network that the shared loop trains.
        """
        kind = load_plugin(self.plugin).models[self.model]
        if not issubclass(kind, TorchModel):
            raise TypeError(f"{self.model} is not trained in steps")
        return kind(kind.Options.model_validate(self.options))

    def context(self) -> FitContext:
        """Return a context without sources or cache."""
        return FitContext(
            device=torch.device(self.device),
            seed=0,
            threads=self.threads,
            classes=tuple(str(number) for number in range(self.n_classes)),
            schedule=self.schedule,
            sources={},
            cache=Path(),
            stages=Cache(Path(), _ignore),
            code="",
            pixels="",
            report=_ignore,
            note=_ignore,
            execution_mode=self.execution_mode,
            size=self.size,
        )

    def sample(self) -> LabeledImages:
        """Return a few batches of random images on the device."""
        n = _SAMPLE_BATCHES * self.schedule.batch_size
        random = torch.Generator().manual_seed(0)
        images = torch.randint(256, (n, 3, self.size, self.size), dtype=torch.uint8, generator=random)
        return LabeledImages(images.to(self.device), torch.arange(n, device=self.device) % self.n_classes)


MakeStep = Callable[[TrainingSpec], Callable[[], object]]
"""Returns what trains one step after the other; a function that can be pickled."""


def shared_step(order: TrainingSpec) -> Callable[[], object]:
    """Return a step of the shared loop on random images."""
    return order.make().fresh_trainer(order.sample(), order.context()).prepare().run


class ConcurrentTraining:
    """Processes that train the same model at the same time; a context, which is entered once they are ready.

    Args:
        order: What each of them trains.
        jobs: How many.
        make_step: How.
    """

    def __init__(self, order: TrainingSpec, jobs: int, make_step: MakeStep = shared_step) -> None:
        context = forkserver()
        self._ends, self._processes = [], []
        for _ in range(jobs):
            ours, theirs = context.Pipe()
            process = context.Process(target=_train_on_demand, args=(theirs, order, make_step), daemon=True)
            process.start()
            theirs.close()
            self._ends.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        try:
            for end in self._ends:
                end.recv()
        except EOFError:
            self.__exit__()
            raise CellError(f"{len(self._ends)} trainings do not fit beside each other, or the model fails") from None
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def images_per_second(self, seconds: float) -> float:
        """Let all of them train for so long, and return the images a second of all together."""
        images, took = self.train(seconds)
        return images / took

    def train(self, seconds: float) -> tuple[int, float]:
        """Let all of them train for so long.

        Returns:
            The images of all together, and the seconds for so many at the speed of all together: some end a step
            earlier than others.
        """
        for end in self._ends:
            end.send(seconds)
        found = [end.recv() for end in self._ends]
        images = sum(count for count, _ in found)
        return images, images / sum(count / took for count, took in found)


def train_for(step: Callable[[], object], seconds: float, device: torch.device) -> tuple[int, float]:
    """Run a step again and again: how often, and the seconds that took."""
    started, steps = clock(device), 0
    while steps == 0 or clock(device) - started < seconds:
        for _ in range(_UNWATCHED if device.type == "cuda" else 1):  # a loop may run ahead of the device
            step()
            steps += 1
    return steps, clock(device) - started


def _ignore(_: object) -> None:
    """Report to nobody."""


def _train_on_demand(connection: Connection, order: TrainingSpec, make_step: MakeStep) -> None:
    die_with_parent()
    mute_output()
    set_up_process(order.threads)
    step = make_step(order)
    step()
    connection.send(None)
    try:
        while True:
            steps, took = train_for(step, connection.recv(), torch.device(order.device))
            connection.send((steps * order.schedule.batch_size, took))
    except (EOFError, BrokenPipeError):
        return  # nobody asks any more
