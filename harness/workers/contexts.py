"""What a task says, as a model takes it: the context of a fit, and images on the device."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from harness.cache import Cache
from harness.data.pixels import open_array
from harness.plugin_api.model import EpochReport, FitContext, LabeledImages, Source
from harness.training.execution_modes import keep_kernels_in, set_up_process
from harness.training.placement import place_on_device
from harness.workers.messages import Answer, ImageRows, LabeledRows, ModelJob, Notice, SourceRows


def fit_context(setting: ModelJob, seed: int, cache: Path, send: Callable[[Answer], None]) -> FitContext:
    """Put the process into the state in which every cell starts."""

    def note(text: str) -> None:
        send(Notice(str(text)))

    device = torch.device(setting.device)
    set_up_process(setting.threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    keep_kernels_in(setting.cache / "compiled")
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
        cache=cache,
        stages=Cache(setting.cache, note),
        code=setting.code,
        pixels=setting.pixels,
        report=lambda epoch: send(_checked_epoch(epoch)),
        note=note,
        execution_mode=setting.execution_mode,
        size=setting.size,
    )


def _source(rows: SourceRows, device: torch.device) -> Source:
    return Source(
        rows.classes,
        rows.fingerprint,
        rows.pixels,
        train=lambda: labeled_images(rows.train, device),
        validation=lambda: labeled_images(rows.validation, device),
        held_out={side: functools.partial(labeled_images, held, device) for side, held in rows.held_out.items()},
    )


def labeled_images(rows: LabeledRows, device: torch.device) -> LabeledImages:
    """Return a task's images and labels, on the device or where they fit."""
    return LabeledImages(images_of(rows.images, device), torch.from_numpy(rows.labels).to(device))


def images_of(rows: ImageRows, device: torch.device) -> torch.Tensor:
    """Return a task's images, uint8 (N, 3, S, S), on the device or where they fit."""
    return place_on_device(torch.from_numpy(open_array(rows.array_file)[rows.rows]), device)


def _checked_epoch(epoch: EpochReport) -> EpochReport:
    """Refuse anything else: the host could not tell it from an answer."""
    if type(epoch) is not EpochReport:
        raise TypeError(f"context.report() takes a harness.EpochReport, not {type(epoch).__name__}")
    return epoch
