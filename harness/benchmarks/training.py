"""Benchmark of training: plain loops, the shared loop, several at once, behind a frozen prefix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.benchmarks.contest import Contestant, Placing, hold
from harness.benchmarks.loops import ImageFiles, loaded_batches, plain_step, ready_batches
from harness.plugin_api.schedule import Schedule
from harness.training.auto import CAPTURED, COMPILED, EAGER, resolve_precision
from harness.training.concurrent import ConcurrentTraining, TrainingSpec, train_for
from harness.training.execution_modes import clock, set_up_process
from harness.training.feed import Forward, UnchangedBatches

_SHARED_LOOP, _INPUT_READY = "shared loop", "shared loop, input ready"
_FILES = 8  # batches of files that the data loader reads
_COPY_BYTES = 1 << 28
_COPY_SECONDS = 0.5


@dataclass(frozen=True)
class Contest:
    """What is measured.

    Attributes:
        rounds: How often every contestant has its turn.
        seconds: About how long a turn takes.
        jobs: Cells at once.
        folder: Where files for the data loader may be written.
    """

    rounds: int
    seconds: float
    jobs: int
    folder: Path


@dataclass(frozen=True)
class TrainingResult:
    """What was found of one model.

    Attributes:
        model: Its label.
        placings: One a contestant; the plain loop on ready data is the first.
        megabytes_per_image: What the modules of one forward pass read and write, at the precision of training.
        bandwidth_limit: Images a second if one pass over that memory were all there is to do; the measure of
            how near the hardware's limit a way is.
        augmentation_share: Share of the shared loop's step that batching, augmentation and normalisation take.
    """

    model: str
    placings: list[Placing]
    megabytes_per_image: float
    bandwidth_limit: float
    augmentation_share: float

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**vars(self), "placings": [placing.to_json() for placing in self.placings]}


@dataclass(frozen=True)
class FixedFeed(UnchangedBatches):
    """A feed whose input never changes: what is left of a step without batching, augmentation and normalisation.

    Attributes:
        pixels: Normalised, (B, 3, S, S).
        message: Nothing special.
        feature_images: None are made.
    """

    pixels: torch.Tensor
    message: tuple[str, ...] = ()
    feature_images: int = 0

    def logits(self, forward: Forward, rows: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See :class:`~harness.training.feed.Feed`."""
        del rows, views
        return forward(self.pixels)


def measure_training(label: str, order: TrainingSpec, contest: Contest) -> TrainingResult:
    """Let a plain loop and the shared loop train the same network in turns.

    Args:
        label: What to call the model.
        order: The model and how it is trained; its execution mode is the fastest to be tried.
        contest: How long.
    """
    device = torch.device(order.device)
    set_up_process(order.threads)
    with ExitStack() as stack:
        everybody = [*_plain_loops(order, contest), *_shared_loops(order, contest)]
        together = stack.enter_context(ConcurrentTraining(replace(order, schedule=_one_epoch(order)), contest.jobs))
        everybody.append(Contestant(f"shared loop, {contest.jobs} cells", together.images_per_second, 0.0))
        placings = hold(everybody, contest.rounds, contest.seconds)
    speed = {placing.name: placing.images_per_second for placing in placings}
    megabytes = _megabytes_per_image(order)
    return TrainingResult(
        label,
        placings,
        megabytes,
        _bytes_per_second(device) / (megabytes * 1e6),
        1 - speed[_SHARED_LOOP] / speed[_INPUT_READY],
    )


def _plain_loops(order: TrainingSpec, contest: Contest) -> Iterator[Contestant]:
    model, sample, device = order.make(), order.sample(), torch.device(order.device)
    precision, size = resolve_precision(order.schedule.precision, device.type), order.schedule.batch_size
    workers = min(8, os.cpu_count() or 1)
    files = ImageFiles(contest.folder, _FILES * size, order.size)
    for name, batches in (
        ("plain loop, data ready", ready_batches(sample, model.normalisation, size)),
        ("plain loop, data loader", loaded_batches(files, size, workers, device)),
    ):
        network = model.build(order.n_classes).to(device)
        step = plain_step(network, order.schedule, batches, precision)
        yield _contestant(name, step, size, device)


def _shared_loops(order: TrainingSpec, contest: Contest) -> Iterator[Contestant]:
    """Yield the shared loop in every execution mode that the order's includes, and its parts by themselves."""
    whole = replace(order, execution_mode=_simplest(order), schedule=_one_epoch(order))
    yield _shared_loop(_SHARED_LOOP, whole)
    yield _input_ready(whole)
    if order.execution_mode == COMPILED:
        yield _compiled(replace(whole, execution_mode=COMPILED), contest.folder / "compiled")
    model = order.make()
    if model.frozen(model.build(order.n_classes)):
        yield _shared_loop("shared loop, frozen prefix cached", order)


def _shared_loop(name: str, order: TrainingSpec) -> Contestant:
    device, began = torch.device(order.device), clock(torch.device(order.device))
    trainer = order.make().fresh_trainer(order.sample(), order.context())
    prepared = trainer.prepare()
    ready = clock(device) - began
    return _contestant(name, prepared.run, order.schedule.batch_size, device, ready, trainer.execution_mode)


def _compiled(order: TrainingSpec, kernels: Path) -> Contestant:
    """The shared loop compiled: once with nothing compiled before, then with kernels on the disk, which is measured."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(kernels)
    cold = _shared_loop("shared loop, compiled", order)
    torch._dynamo.reset()  # noqa: SLF001 - what is compiled is known to this process as well as to the disk
    warm = _shared_loop("shared loop, compiled", order)
    return replace(warm, message=f"{warm.message}, cold start {cold.start_up_seconds:.0f} s")


def _input_ready(order: TrainingSpec) -> Contestant:
    """The shared loop without batching, augmentation and normalisation: its input never changes."""
    model, sample, batch = order.make(), order.sample(), order.schedule.batch_size
    trainer = model.fresh_trainer(sample, order.context())
    feed = FixedFeed(model.normalisation.apply(sample.images[:batch]))
    return _contestant(_INPUT_READY, trainer.prepare(feed).run, batch, torch.device(order.device))


def _contestant(
    name: str,
    step: Callable[[], None],
    images: int,
    device: torch.device,
    start_up_seconds: float = 0.0,
    message: str = "",
) -> Contestant:
    def images_per_second(seconds: float) -> float:
        steps, took = train_for(step, seconds, device)
        return steps * images / took

    return Contestant(name, images_per_second, start_up_seconds, message)


def _one_epoch(order: TrainingSpec) -> Schedule:
    """Return a schedule under which no prefix is worth caching."""
    return order.schedule.model_copy(update={"epochs": 1})


def _simplest(order: TrainingSpec) -> str:
    """Return the order's execution mode without compilation."""
    if order.execution_mode != COMPILED:
        return order.execution_mode
    return EAGER if order.device == "cpu" else CAPTURED


def _megabytes_per_image(order: TrainingSpec) -> float:
    """Count what the leaf modules of one forward pass take in and give out."""
    network = order.make().build(order.n_classes).eval()
    elements = 0

    def count(_module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal elements
        elements += sum(tensor.numel() for tensor in _tensors([inputs, output]))

    for module in network.modules():
        if not any(True for _ in module.children()):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, order.size, order.size))
    width = 2 if resolve_precision(order.schedule.precision, torch.device(order.device).type) == "bf16" else 4
    return elements * width / 1e6


def _tensors(nested: Any) -> Iterator[torch.Tensor]:
    if isinstance(nested, torch.Tensor):
        yield nested
    elif isinstance(nested, list | tuple):
        for part in nested:
            yield from _tensors(part)


def _bytes_per_second(device: torch.device) -> float:
    """Measure how fast memory is copied, counting bytes read and written."""
    source = torch.zeros(_COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    steps, took = train_for(lambda: target.copy_(source), _COPY_SECONDS, device)
    return 2 * _COPY_BYTES * steps / took
