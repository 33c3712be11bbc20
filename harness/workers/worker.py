"""The worker: loads a plugin and computes one task."""

from __future__ import annotations

import faulthandler
import io
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import threadpoolctl
import torch
from numpy.typing import NDArray

from harness.cache import Note
from harness.errors import UsageError
from harness.plugin_api.discovery import load_plugin
from harness.plugin_api.model import FitContext, LabeledImages, Model, ModelCard, Throughput
from harness.plugin_api.reference import PluginReference
from harness.training.calibration import calibrated_speed, calibration_seconds
from harness.training.torch_model import LEAST_SECONDS, TorchModel
from harness.workers.contexts import fit_context, images_of, labeled_images
from harness.workers.failures import explain
from harness.workers.features import find_prefix, make_features
from harness.workers.messages import (
    Answer,
    Explained,
    ExplainTask,
    FeatureTask,
    FitTask,
    Fitted,
    Measured,
    MeasureTask,
    NotExplained,
    Predicted,
    PredictTask,
    PrefixTask,
    Task,
    TrialTask,
    Tried,
)
from harness.workers.serialization import TAKEN, encode, framed
from harness.workers.trial import brief_context, is_shared_loop, try_model

_LOOKED_AT = 8
_TOLERANCE = 0.02  # of a probability: sums of bfloat16 differ by less with the size of a batch


def answer_task(plugin: PluginReference, model_name: str, tasks: Connection, descriptor: int) -> None:
    """Compute one task in this process, which exists for nothing else.

    Args:
        plugin: The plugin to load.
        model_name: The model to take from it.
        tasks: Gives the task, pickled; closed when it has been taken.
        descriptor: Takes the epochs and the answer, as :mod:`harness.workers.serialization` writes them.
    """
    task: Task = tasks.recv()
    tasks.close()
    os.write(descriptor, framed(TAKEN))
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # what was printed last must not die with the process
    send = _Sender(descriptor)
    send(_answer(plugin, model_name, task, send))


class _Sender:
    """Writes answers; threads of a plugin that report at once do not mix theirs."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._lock = descriptor, threading.Lock()

    def __call__(self, answer: Answer) -> None:
        rest = memoryview(framed(encode(answer)))
        with self._lock:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


def _answer(plugin: PluginReference, model_name: str, task: Task, send: Callable[[Answer], None]) -> Answer:
    stage = _Stage()
    try:
        kind = load_plugin(plugin).refuse_other_source(task.setting.code).models[model_name]
        answer: Answer = _WORK[type(task)](kind, task, send, stage)
        encode(answer)  # a plugin's card or array that is none must fail here, by name
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is the plugin's failure
        failure = explain(error, task.setting.schedule.batch_size, torch.device(task.setting.device))
        certain = stage.begins and failure.cause == "plugin"
        return replace(failure, cause="certain") if certain else failure
    return answer


@dataclass
class _Stage:
    """How far a task is: what fails while it ``begins`` fails in every cell of the model."""

    begins: bool = True


def _fit(kind: type[Model], task: FitTask, send: Callable[[Answer], None], stage: _Stage) -> Fitted:
    stage.begins = False
    task.cache.mkdir(parents=True, exist_ok=True)
    context = replace(
        fit_context(task.setting, task.seed, task.cache, send),
        checkpoint=task.checkpoint,
        checkpoint_seconds=60 * task.checkpoint_minutes,
        features=task.features,
    )
    with threadpoolctl.threadpool_limits(context.threads):
        model = kind(kind.Options.model_validate(task.setting.options))
        train, validation = (labeled_images(rows, context.device) for rows in (task.train, task.validation))
        test = images_of(task.test, context.device)
        started = time.perf_counter()
        model.fit(train, validation, context)
        fitted = time.perf_counter()
        on_test = _numbers(model.predict_proba(test))
        predicted = time.perf_counter()
        on_validation = _numbers(model.predict_proba(validation.images))
        model.save(task.folder)
        card = model.describe()
        if type(card) is not ModelCard:
            raise TypeError(f"describe() must return a harness.ModelCard, not {type(card).__name__}")
        if task.look_closely:
            _look_one_by_one(model, validation.images, on_validation, context.note)
    return Fitted(on_validation, on_test, card, fitted - started, predicted - fitted, _peak_memory(context.device))


def _look_one_by_one(model: Model, images: torch.Tensor, together: NDArray[np.float64], note: Note) -> None:
    """Say whether a few images are classified otherwise by themselves than among all; the cell is finished by then."""
    try:
        alone = np.concatenate([_numbers(model.predict_proba(image[None])) for image in images[:_LOOKED_AT]])
        same = np.allclose(alone, together[:_LOOKED_AT], rtol=0, atol=_TOLERANCE)
    except Exception as error:  # noqa: BLE001 - it may fail in any way, and its results are none the worse
        note(f"predict_proba cannot classify one image by itself: {type(error).__name__}: {error}")
        return
    if not same:
        note("predictions depend on the other images of the batch: a new image by itself would get another answer")


def _measure(kind: type[Model], task: MeasureTask, send: Callable[[Answer], None], stage: _Stage) -> Measured:
    setting = task.setting
    n = setting.schedule.batch_size
    with threadpoolctl.threadpool_limits(setting.threads), tempfile.TemporaryDirectory() as cache:
        context = fit_context(setting, 0, Path(cache), send)
        images = torch.randint(256, (n, 3, setting.size, setting.size), dtype=torch.uint8)
        sample = LabeledImages(images.to(context.device), torch.arange(n, device=context.device) % len(setting.classes))
        kind(kind.Options.model_validate(setting.options)).check(sample, context)
        stage.begins = False
        model = kind(kind.Options.model_validate(setting.options))
        speed, unit = _timed(model, sample, context, task.calibration_seconds)
        ahead = dict(model.estimate_pretraining(context)) if task.with_pretraining else {}
    return Measured(speed, unit, _peak_memory(context.device), ahead)


def _timed(
    model: Model, sample: LabeledImages, context: FitContext, known: float | None
) -> tuple[Throughput | None, float]:
    """Return a model's speed, and what the calibration workload took beside it; what is known where it has no speed."""
    workload = context.size, context.schedule, context.device
    if isinstance(model, TorchModel) and type(model).measure_throughput is TorchModel.measure_throughput:
        trainer = model.fresh_trainer(sample, context)
        speed = trainer.measure(LEAST_SECONDS)
        return speed, calibrated_speed(trainer, *workload) / speed.images_per_second
    if known is not None and type(model).measure_throughput is Model.measure_throughput:
        return None, known
    # before and after, since on a shared machine the one second is not like the next
    before = calibration_seconds(*workload)
    found = model.measure_throughput(sample, context)
    if found is not None and type(found) is not Throughput:
        raise TypeError(f"measure_throughput() must return a harness.Throughput, not {type(found).__name__}")
    return found, (before + calibration_seconds(*workload)) / 2


def _try(kind: type[Model], task: TrialTask, send: Callable[[Answer], None], stage: _Stage) -> Tried:
    setting = task.setting
    stage.begins = is_shared_loop(kind)
    with (
        threadpoolctl.threadpool_limits(setting.threads),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
    ):
        context = brief_context(fit_context(setting, 0, Path(folder), send), Path(folder))
        try_model(lambda: kind(kind.Options.model_validate(setting.options)), context)
    return Tried()


def _explain(
    kind: type[Model], task: ExplainTask, send: Callable[[Answer], None], stage: _Stage
) -> Explained | NotExplained:
    setting = task.setting
    with threadpoolctl.threadpool_limits(setting.threads), tempfile.TemporaryDirectory() as cache:
        context = fit_context(setting, 0, Path(cache), send)
        model = _loaded(kind, task, context, stage)
        images = images_of(task.images, context.device)
        try:
            maps = model.explain(images)
        except UsageError as error:
            return NotExplained(str(error))
        if maps is None:
            return NotExplained("it is no network, and has no explain() of its own")
        return Explained(_grey(maps, (len(images), *images.shape[2:])), model.how_explained())


def _predict(kind: type[Model], task: PredictTask, send: Callable[[Answer], None], stage: _Stage) -> Predicted:
    with threadpoolctl.threadpool_limits(task.setting.threads), tempfile.TemporaryDirectory() as cache:
        context = fit_context(task.setting, task.seed, Path(cache), send)
        model = _loaded(kind, task, context, stage)
        return Predicted(_numbers(model.predict_proba(images_of(task.images, context.device))))


def _loaded(kind: type[Model], task: ExplainTask | PredictTask, context: FitContext, stage: _Stage) -> Model:
    """Return the model that a cell has saved."""
    model = kind(kind.Options.model_validate(task.setting.options))
    stage.begins = False
    model.load(task.folder, context.device, len(task.setting.classes))
    return model


def _grey(maps: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Turn maps from 0 to 1 into uint8."""
    found = np.asarray(maps, dtype=np.float64)
    if found.shape != shape:
        raise ValueError(f"explain() returned shape {found.shape}, not {shape}: one map an image, of its size")
    if not ((found >= 0) & (found <= 1)).all():
        raise ValueError("explain() returned values that do not lie between 0 and 1")
    return np.rint(255 * found).astype(np.uint8)


def _numbers(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn whatever came back into a matrix that can be sent; the host judges it."""
    try:
        found = np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        what = f"a {type(probabilities).__name__}, which is no array of numbers"
        raise TypeError(f"predict_proba returned {what}: {str(error).partition(chr(10))[0]}") from error
    if found.ndim != 2:
        raise ValueError(f"predict_proba returned shape {found.shape}, not one row an image and one column a class")
    return found


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_WORK: Mapping[type[Task], Callable[..., Answer]] = {
    FitTask: _fit,
    MeasureTask: _measure,
    PrefixTask: find_prefix,
    FeatureTask: make_features,
    TrialTask: _try,
    ExplainTask: _explain,
    PredictTask: _predict,
}
