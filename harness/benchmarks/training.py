"""Benchmark of training: plain loops and the shared loop, on one core and on all, behind a frozen prefix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from harness.benchmarks.contest import Contestant, Placing, Work, hold
from harness.benchmarks.limits import bytes_per_second, megabytes_per_image
from harness.benchmarks.loops import ImageFiles, NextBatch, PlainLoop, loaded_batches, plain_step, ready_batches
from harness.benchmarks.losses import LossCurve, compare_losses
from harness.plugin_api.schedule import Precision, Schedule
from harness.threads import usable_cores
from harness.training.auto import CAPTURED, COMPILED, EAGER, resolve_precision
from harness.training.batches import Batches, views_shown
from harness.training.concurrent import ConcurrentTraining, TrainingSpec, shared_step, train_for
from harness.training.execution_modes import clock, set_up_process
from harness.training.feed import Forward, UnchangedBatches
from harness.training.frozen_features import FrozenFeatures

SHARED_LOOP, _INPUT_READY = "shared loop", "shared loop, input ready"
_READY = "channels last, batches ready, no augmentation"
_BF16: Precision = "bf16"
_MAPS = 4  # dimensions of a batch of maps, (B, C, h, w)
_FILES = 8  # batches of files that the data loader reads


@dataclass(frozen=True)
class Contest:
    """What is measured.

    Attributes:
        rounds: How often every contestant has its turn.
        seconds: About how long a turn takes.
        jobs: Cells at once.
        folder: Where files for the data loader may be written.
        loss_epochs: Epochs over which losses are compared; 0 leaves them out.
    """

    rounds: int
    seconds: float
    jobs: int
    folder: Path
    loss_epochs: int = 0


@dataclass(frozen=True)
class TrainingResult:
    """What was found of one model at one size.

    Attributes:
        model: Its label.
        size: Side of the images in pixels.
        placings: One a contestant; the plain loop on ready data is the first.
        losses: Of plain and shared loops from the same start on the same batches.
        megabytes_per_image: What the modules of one forward pass read and write, at the precision of training.
        bandwidth_limit: Images a second if one pass over that memory were all there is to do; the measure of
            how near the hardware's limit a way is.
        augmentation_share: Share of the shared loop's step that batching, augmentation and normalisation take.
    """

    model: str
    size: int
    placings: list[Placing]
    losses: list[LossCurve]
    megabytes_per_image: float
    bandwidth_limit: float
    augmentation_share: float

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


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
    """Let plain loops and the shared loop train the same network in turns.

    On the CPU everybody has one core and one thread, but for those that train in several processes. Beside a GPU
    everybody has all cores: a data loader needs them, and backward passes are launched by a thread of their own.

    Args:
        label: What to call the model.
        order: The model and how it is trained; its execution mode is the fastest to be tried.
        contest: How long.
    """
    set_up_process(order.threads)
    losses = compare_losses(replace(order, schedule=_one_epoch(order)), contest.loss_epochs)
    with ExitStack() as stack:
        everybody = [*_plain_loops(order, contest), *_shared_loops(order, contest)]
        everybody += _processes(replace(order, schedule=_one_epoch(order)), contest, stack)
        if order.device != "cpu":
            everybody = [replace(one, cores=usable_cores()) for one in everybody]
        placings = hold(everybody, contest.rounds, contest.seconds)
    speed = {placing.name: placing.images_per_processor_second for placing in placings}
    if order.device != "cpu":
        speed = {placing.name: placing.images_per_second for placing in placings}
    megabytes = megabytes_per_image(order)
    return TrainingResult(
        label,
        order.size,
        placings,
        losses,
        megabytes,
        bytes_per_second(torch.device(order.device)) / (megabytes * 1e6),
        1 - speed[SHARED_LOOP] / speed[_INPUT_READY],
    )


def _plain_loops(order: TrainingSpec, contest: Contest) -> Iterator[Contestant]:
    loop, batch, device = PlainLoop.of(order), order.schedule.batch_size, torch.device(order.device)
    ready = ready_batches(order.sample(), order.make().normalisation, order.schedule)
    yield Contestant("plain loop, data ready", _steps(loop.step(ready), order), f"{loop.precision}, {_READY}")
    workers = min(8, usable_cores()) if device.type == "cuda" else 0  # on one core they would only take turns
    files = ImageFiles(contest.folder / str(order.size), _FILES * batch, order.size)
    loaded = loaded_batches(files, batch, workers, device)
    where = f"{workers} processes" if workers else "the same process"
    message = f"{loop.precision}, channels last, JPEG files decoded and flipped in {where}"
    yield Contestant("plain loop, data loader", _steps(PlainLoop.of(order).step(loaded), order), message)
    if loop.precision != _BF16:
        step = PlainLoop.of(order, _BF16).step(ready)
        yield Contestant("plain loop, bf16", _steps(step, order), f"autocast to bf16, {_READY}")
    if order.execution_mode == COMPILED:
        yield _plain_compiled(order, ready, contest.folder / "compiled-plain")
    if loop.frozen:
        yield from _plain_on_features(order)


def _plain_compiled(order: TrainingSpec, ready: NextBatch, kernels: Path) -> Contestant:
    loop, device = PlainLoop.of(order), torch.device(order.device)
    _forget_compiled(kernels)
    began, message = clock(device), f"compiled, {loop.precision}, {_READY}"
    step = loop.step(ready, torch.compile(loop.network, dynamic=False))
    try:
        step()
    except Exception as error:  # noqa: BLE001 - compilers raise whatever they like
        step, message = loop.step(ready), f"eager, not compiled: {type(error).__name__}"
    return Contestant("plain loop, compiled", _steps(step, order), message, clock(device) - began)


def _plain_on_features(order: TrainingSpec) -> Iterator[Contestant]:
    """Yield the plain loop behind features of the frozen layers that are computed once, for every view."""
    loop, sample, device = PlainLoop.of(order), order.sample(), torch.device(order.device)
    began, schedule = clock(device), order.schedule
    views, normalisation = views_shown(schedule.augmentation), order.make().normalisation
    layers = FrozenFeatures(
        loop.network, loop.frozen, normalisation, loop.precision, schedule.batch_size, sample.images
    )
    feed = layers.feed(sample.images, views)
    if feed is None:
        return
    features, prefix = feed.features, feed.prefix
    batches = Batches(len(sample), schedule.augmentation, schedule.batch_size, device, seed=0)
    batches.shuffle()

    def next_batch() -> tuple[torch.Tensor, torch.Tensor]:
        rows, shown = batches.take()
        maps = features[rows, shown]
        return maps.permute(0, 3, 1, 2) if maps.dim() == _MAPS else maps, sample.labels[rows]

    step = loop.step(next_batch, lambda maps: prefix.rest(maps, loop.network))
    message = f"{loop.precision}, features of the frozen layers computed once, in {views} views"
    yield Contestant("plain loop, features kept", _steps(step, order), message, clock(device) - began)


def _shared_loops(order: TrainingSpec, contest: Contest) -> Iterator[Contestant]:
    """Yield the shared loop in every execution mode that the order's includes, and its parts by themselves."""
    whole = replace(order, execution_mode=_simplest(order), schedule=_one_epoch(order))
    yield _shared_loop(SHARED_LOOP, whole)
    yield _input_ready(whole)
    if resolve_precision(order.schedule.precision, torch.device(order.device).type) != _BF16:
        yield _shared_loop(f"{SHARED_LOOP}, bf16", _in_bf16(whole))
    if order.execution_mode == COMPILED:
        yield _compiled(replace(whole, execution_mode=COMPILED), contest.folder / "compiled")
    model = order.make()
    if model.frozen(model.network_for(order.context().classes, order.size)):
        yield _shared_loop(f"{SHARED_LOOP}, frozen prefix cached", order)


def _shared_loop(name: str, order: TrainingSpec) -> Contestant:
    device, began = torch.device(order.device), clock(torch.device(order.device))
    trainer = order.make().fresh_trainer(order.sample(), order.context())
    prepared = trainer.prepare()
    message = f"{trainer.precision}, channels last, views and normalisation on the device, {trainer.execution_mode}"
    return Contestant(name, _steps(prepared.run, order), message, clock(device) - began)


def _compiled(order: TrainingSpec, kernels: Path) -> Contestant:
    """The shared loop compiled: once with nothing compiled before, then with kernels on the disk, which is measured."""
    _forget_compiled(kernels)
    cold = _shared_loop(f"{SHARED_LOOP}, compiled", order)
    _forget_compiled(kernels)
    warm = _shared_loop(f"{SHARED_LOOP}, compiled", order)
    return replace(warm, message=f"{warm.message}, cold start {cold.start_up_seconds:.0f} s")


def _forget_compiled(kernels: Path) -> None:
    """Have torch know nothing but the kernels in a folder: this process remembers networks that it has compiled."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(kernels)
    torch._dynamo.reset()  # noqa: SLF001 - the only way


def _input_ready(order: TrainingSpec) -> Contestant:
    """The shared loop without batching, augmentation and normalisation: its input never changes."""
    model, sample, batch = order.make(), order.sample(), order.schedule.batch_size
    trainer = model.fresh_trainer(sample, order.context())
    feed = FixedFeed(model.normalisation.apply(sample.images[:batch]))
    step = trainer.prepare(feed).run
    return Contestant(_INPUT_READY, _steps(step, order), f"{trainer.precision}, the same batch again and again")


def _processes(order: TrainingSpec, contest: Contest, stack: ExitStack) -> Iterator[Contestant]:
    """Yield plain loops and shared loops in several processes at once: of each as many."""
    jobs = contest.jobs
    for name, make, message in (
        (f"plain loop, {jobs} processes", plain_step, f"a thread each, {_READY}"),
        (f"{SHARED_LOOP}, {jobs} cells", shared_step, "a thread each, views and normalisation on the device"),
    ):
        together = stack.enter_context(ConcurrentTraining(order, jobs, make))
        yield Contestant(name, together.train, message, cores=jobs)


def _steps(step: Callable[[], object], order: TrainingSpec) -> Work:
    def work(seconds: float) -> tuple[int, float]:
        steps, took = train_for(step, seconds, torch.device(order.device))
        return steps * order.schedule.batch_size, took

    return work


def _one_epoch(order: TrainingSpec) -> Schedule:
    """Return a schedule under which no prefix is worth caching."""
    return order.schedule.model_copy(update={"epochs": 1})


def _in_bf16(order: TrainingSpec) -> TrainingSpec:
    return replace(order, schedule=order.schedule.model_copy(update={"precision": _BF16}))


def _simplest(order: TrainingSpec) -> str:
    """Return the order's execution mode without compilation."""
    if order.execution_mode != COMPILED:
        return order.execution_mode
    return EAGER if order.device == "cpu" else CAPTURED
