"""The worker process: it loads one plugin and computes the tasks it is sent. It never sees a test label."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import threadpoolctl
import torch
from numpy.typing import NDArray

from harness.data.pixels import open_array
from harness.errors import HarnessError
from harness.execution.tasks import (
    Failure,
    FitTask,
    Fitted,
    ImageRows,
    LabeledRows,
    Measured,
    MeasureTask,
    Report,
    Setting,
    SourceRows,
    Task,
)
from harness.plugin_api.discovery import PluginReference, load_models
from harness.plugin_api.model import EpochReport, FitContext, LabeledImages, Model, ModelCard, Source
from harness.training.calibration import calibration_seconds


def serve(connection: Connection, plugin: PluginReference, model_name: str, log: Path) -> None:
    """Compute tasks until the host hangs up.

    Args:
        connection: Tasks come in, epochs and answers go out; None ends the process.
        plugin: The plugin to load.
        model_name: The model to take from it.
        log: File for whatever the plugin prints, so that it does not disturb the display.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's to handle
    _redirect_output(log)
    try:
        kind = load_models(plugin)[model_name]
        while (task := connection.recv()) is not None:
            connection.send(_answer(kind, task, connection.send))
    except (EOFError, BrokenPipeError):
        pass  # the host is gone


def _answer(kind: type[Model], task: Task, report: Report) -> Fitted | Measured | Failure:
    try:
        return _fit(kind, task, report) if isinstance(task, FitTask) else _measure(kind, task)
    except (EOFError, BrokenPipeError):
        raise
    except HarnessError as error:
        return Failure(str(error), traceback.format_exc())
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is the plugin's failure, not the worker's
        line = str(error).strip().partition("\n")[0]
        return Failure(f"{type(error).__name__}: {line}" if line else type(error).__name__, traceback.format_exc())


def _fit(kind: type[Model], task: FitTask, report: Report) -> Fitted:
    context = replace(
        _context(task.setting, task.seed, lambda epoch: report(_checked_epoch(epoch))),
        checkpoint=task.checkpoint,
        checkpoint_seconds=60 * task.checkpoint_minutes,
    )
    with threadpoolctl.threadpool_limits(context.threads):
        model = kind(kind.Options.model_validate(task.setting.options))
        train, validation = (_labeled(rows, context.device) for rows in (task.train, task.validation))
        test = _images(task.test, context.device)
        started = time.perf_counter()
        model.fit(train, validation, context)
        fitted = time.perf_counter()
        on_test = _checked(model.predict_proba(test), len(test), len(context.classes))
        predicted = time.perf_counter()
        on_validation = _checked(model.predict_proba(validation.images), len(validation), len(context.classes))
        model.save(task.folder)
    card = model.describe()
    if type(card) is not ModelCard:
        raise TypeError(f"describe() must return a harness.ModelCard, not {type(card).__name__}")
    return Fitted(on_validation, on_test, card, fitted - started, predicted - fitted, _peak_memory(context.device))


def _measure(kind: type[Model], task: MeasureTask) -> Measured:
    setting = task.setting
    context = _context(setting, 0, lambda _: None)
    n = setting.schedule.batch_size
    images = torch.randint(256, (n, 3, setting.size, setting.size), dtype=torch.uint8)
    sample = LabeledImages(images.to(context.device), torch.arange(n, device=context.device) % len(setting.classes))
    with threadpoolctl.threadpool_limits(context.threads):
        # before and after, since on a shared machine the one second is not like the next
        before = calibration_seconds(setting.size, setting.schedule, context.device)
        speed = kind(kind.Options.model_validate(setting.options)).measure_throughput(sample, context)
        after = calibration_seconds(setting.size, setting.schedule, context.device)
    return Measured(speed, (before + after) / 2, _peak_memory(context.device))


def _context(setting: Setting, seed: int, report: Report) -> FitContext:
    """Put the process into the state in which every cell starts, whatever the one before has left."""
    device = torch.device(setting.device)
    torch.set_num_threads(setting.threads)
    torch.backends.cudnn.deterministic = True
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for plugins that draw from the global generator
    torch.manual_seed(seed)
    return FitContext(
        device=device,
        seed=seed,
        threads=setting.threads,
        classes=setting.classes,
        schedule=setting.schedule,
        sources={name: _source(rows, device) for name, rows in setting.sources.items()},
        cache=setting.cache,
        code=setting.code,
        pixels=setting.pixels,
        report=report,
    )


def _source(rows: SourceRows, device: torch.device) -> Source:
    return Source(
        rows.classes,
        rows.fingerprint,
        train=lambda: _labeled(rows.train, device),
        validation=lambda: _labeled(rows.validation, device),
    )


def _labeled(rows: LabeledRows, device: torch.device) -> LabeledImages:
    return LabeledImages(_images(rows.images, device), torch.from_numpy(rows.labels).to(device))


def _images(rows: ImageRows, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(open_array(rows.array_file)[rows.rows]).to(device)


def _checked_epoch(epoch: EpochReport) -> EpochReport:
    """Refuse anything else: the host could not tell it from an answer."""
    if type(epoch) is not EpochReport:
        raise TypeError(f"context.report() takes a harness.EpochReport, not {type(epoch).__name__}")
    return epoch


def _checked(probabilities: NDArray[np.floating], n: int, n_classes: int) -> NDArray[np.float64]:
    """Refuse what are no probabilities of these images."""
    found = np.asarray(probabilities, dtype=np.float64)
    if found.shape != (n, n_classes):
        raise ValueError(f"predict_proba returned shape {found.shape} for {n} images and {n_classes} classes")
    if not np.isfinite(found).all():
        raise ValueError("predict_proba returned values that are not finite")
    if (found < 0).any() or (abs(found.sum(1) - 1) > 1e-3).any():
        raise ValueError("predict_proba returned rows that are no probabilities: each must sum to 1, none be negative")
    return found


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _redirect_output(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
