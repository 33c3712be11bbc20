"""Training steps: losses by execution mode, cells at once, cuDNN's choices, streamed images."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any

import torch
from setting import FROZEN, WHOLE, Setting

from harness.plugin_api.model import LabeledImages
from harness.plugin_api.schedule import ExecutionMode, Precision
from harness.processes import forkserver
from harness.training.concurrent import ConcurrentTraining, TrainingSpec, shared_step, train_for
from harness.training.execution_modes import set_up_process
from harness.training.loop import Trainer

Row = dict[str, Any]


def captured_losses(setting: Setting) -> Iterator[Row]:
    """Compare captured steps with eager ones, and eager ones with themselves, with dropout."""
    for precision in ("float32", "bf16"):
        yield from _compared(setting, ("eager", "captured"), precision, {})


def compiled_losses(setting: Setting) -> Iterator[Row]:
    """Compare compiled steps with eager ones, without dropout: compiled kernels draw other random numbers."""
    yield from _compared(setting, ("compiled",), "auto", {"dropout": 0.0})


def cells_at_once(setting: Setting) -> Iterator[Row]:
    """Let processes train the same network at the same time, and trainings on streams of one process."""
    alone = None
    for jobs in setting.size.jobs:
        began = time.perf_counter()
        with ConcurrentTraining(setting.spec(WHOLE, "captured"), jobs) as trainings:
            start = time.perf_counter() - began
            trainings.images_per_second(setting.size.seconds)
            speed = median(trainings.images_per_second(setting.size.seconds) for _ in range(setting.size.rounds))
        alone = alone or speed
        yield {"cells at once": jobs, "as": "processes", **_beside(speed, alone), "start of all (s)": start}
    assert alone is not None
    if setting.device == "cuda":
        for jobs in setting.size.jobs[1:]:
            yield {"cells at once": jobs, "as": "streams of a process", **_beside(_on_streams(setting, jobs), alone)}


def _beside(speed: float, alone: float) -> Row:
    return {"images/s of all": speed, "times one": speed / alone}


def _on_streams(setting: Setting, jobs: int) -> float:
    """Return the images a second of so many captured trainings that are replayed in turn, each on its stream."""
    device = torch.device(setting.device)
    runs = [(_trainer(setting, WHOLE).prepare().run, torch.cuda.Stream()) for _ in range(jobs)]

    def once() -> None:
        for run, stream in runs:
            with torch.cuda.stream(stream):
                run()

    train_for(once, setting.size.seconds, device)
    times, took = train_for(once, setting.size.rounds * setting.size.seconds, device)
    return times * jobs * setting.size.batch / took


def cudnn_choices(setting: Setting) -> Iterator[Row]:
    """Train with repeatable kernels or any, and with the first that fits or the fastest of those tried.

    Every training has a process of its own: cuDNN goes on with the kernels that it has chosen for a shape before.
    """
    order = setting.spec(WHOLE, "captured", epochs=setting.size.steps)
    choices = {
        f"deterministic {deterministic}, benchmark {benchmark}": (deterministic, benchmark)
        for deterministic, benchmark in itertools.product((True, False), (False, True))
    }
    with forkserver().Pool(1, maxtasksperchild=1) as pool:
        first, again = (pool.map(partial(_losses_under, order), choices.values(), chunksize=1) for _ in range(2))
    differences = dict(zip(choices, map(_largest_difference, first, again), strict=True))
    with ExitStack() as stack:
        ways = {
            name: stack.enter_context(ConcurrentTraining(order, 1, partial(_step_under, choice))).images_per_second
            for name, choice in choices.items()
        }
        for name, speed, ratio in _in_turns(ways, setting):
            yield {"cuDNN": name, "images/s": speed, "ratio": ratio, "two trainings differ by": differences[name]}


def _losses_under(order: TrainingSpec, choice: tuple[bool, bool]) -> list[float]:
    set_up_process(order.threads)
    _let_cudnn(choice)
    return _losses(order)[0]


def _step_under(choice: tuple[bool, bool], order: TrainingSpec) -> Callable[[], object]:
    _let_cudnn(choice)
    return shared_step(order)


def _let_cudnn(choice: tuple[bool, bool]) -> None:
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = choice


def streamed_images(setting: Setting) -> Iterator[Row]:
    """Train on images in the device's memory and on images in the host's."""
    n, pixels = setting.size.images, setting.size.pixels
    random = torch.Generator().manual_seed(0)
    host = torch.randint(256, (n, 3, pixels, pixels), dtype=torch.uint8, generator=random)
    labels = (torch.arange(n) % 2).to(setting.device)
    ways, how = {}, {}
    for place, images in (("device", host.to(setting.device)), ("host", host)):
        for mode in ("eager", "captured"):
            trainer, name = (
                _trainer(setting, WHOLE, mode, LabeledImages(images, labels)),
                f"images on the {place}, {mode}",
            )
            ways[name] = partial(_images_per_second, trainer.prepare().run, setting)
            how[name] = trainer.execution_mode
    for name, speed, ratio in _in_turns(ways, setting):
        yield {"way": name, "executed": how[name], "images/s": speed, "ratio": ratio}


def _compared(setting: Setting, modes: tuple[ExecutionMode, ...], precision: Precision, options: Row) -> Iterator[Row]:
    for label in (WHOLE, FROZEN):
        eager, _ = _losses(setting.spec(label, "eager", precision, setting.size.steps, options))
        for mode in modes:
            torch._dynamo.reset()
            found, trainer = _losses(setting.spec(label, mode, precision, setting.size.steps, options))
            yield {
                "model": label,
                "asked for": mode,
                "executed": trainer.execution_mode,
                "precision": trainer.precision,
                "steps": len(found),
                "max difference": _largest_difference(eager, found),
                "first loss": found[0],
                "last loss": found[-1],
                "start-up (s)": trainer.start_up_seconds,
            }


def _losses(order: TrainingSpec) -> tuple[list[float], Trainer]:
    """Train on one batch again and again, so that an epoch is a step and its loss that step's."""
    sample, batch = order.sample(), order.schedule.batch_size
    train, validation = (
        LabeledImages(sample.images[start : start + batch], sample.labels[start : start + batch])
        for start in (0, batch)
    )
    torch.manual_seed(0)
    trainer, losses = order.make().fresh_trainer(train, order.context()), []
    trainer.fit(validation, lambda epoch: losses.append(epoch.train_loss))
    return losses, trainer


def _largest_difference(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _trainer(
    setting: Setting, label: str, mode: ExecutionMode = "captured", sample: LabeledImages | None = None
) -> Trainer:
    order = setting.spec(label, mode)
    torch.manual_seed(0)
    return order.make().fresh_trainer(order.sample() if sample is None else sample, order.context())


def _images_per_second(run: Callable[[], object], setting: Setting, seconds: float) -> float:
    steps, took = train_for(run, seconds, torch.device(setting.device))
    return steps * setting.size.batch / took


def _in_turns(ways: Mapping[str, Callable[[float], float]], setting: Setting) -> Iterator[tuple[str, float, float]]:
    """Let every way train in turns: its images a second (median over rounds), and the ratio to the first's.

    Args:
        ways: Each trains for so many seconds and returns its images a second.
        setting: Says how long and how often.
    """
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(setting.size.rounds + 1):
        for name, train in ways.items():
            speeds[name].append(train(setting.size.seconds))
    first = median(next(iter(speeds.values()))[1:])
    for name, found in speeds.items():
        yield name, median(found[1:]), median(found[1:]) / first
