"""Features of frozen first layers, made for all cells of a run in a process that knows no label and no side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import threadpoolctl
import torch

from harness.data.pixels import open_array
from harness.plugin_api.model import LabeledImages, Model
from harness.training.batches import whole_batches
from harness.training.frozen_features import FrozenFeatures
from harness.training.prefix import TRIED
from harness.training.stages import stages_are_kept
from harness.training.torch_model import TorchModel
from harness.workers.contexts import fit_context, images_of
from harness.workers.messages import (
    FEATURE_TYPES,
    Answer,
    FeaturesMade,
    FeatureTask,
    ImagesDone,
    PrefixFound,
    PrefixTask,
)
from harness.workers.trial import is_shared_loop

Send = Callable[[Answer], None]


def find_prefix(kind: type[Model], task: PrefixTask, send: Send, _stage: object) -> PrefixFound:
    """Describe the frozen first layers that a model's cells will have."""
    if not is_shared_loop(kind):
        return PrefixFound()
    with _prepared(kind, task, send) as features:
        if features is None:
            return PrefixFound(lacks_stages=True)
        if features.prefix is None:
            return PrefixFound()
        one = features.example()
        dtype = next((name for name in FEATURE_TYPES if getattr(torch, name) == one.dtype), None)
        return PrefixFound() if dtype is None else PrefixFound(features.key, tuple(one.shape[1:]), dtype)


def make_features(kind: type[Model], task: FeatureTask, send: Send, _stage: object) -> FeaturesMade:
    """Write the features of a task's images into its file.

    Raises:
        ValueError: The layers are not those that the task is about.
    """
    with _prepared(kind, task, send) as features:
        if features is None or features.prefix is None or features.key != task.prefix.key:
            raise ValueError("the network's frozen first layers are not the same twice")
        stored = torch.from_numpy(np.load(task.file, mmap_mode="r+")).view(getattr(torch, task.prefix.dtype))
        pixels, rows = open_array(task.images.array_file), task.images.rows
        target = stored[task.first : task.first + len(rows)]
        for view in range(task.views):
            for places in whole_batches(torch.arange(len(rows)), features.batch):
                target[places, view] = features.of(torch.from_numpy(pixels[rows[places.numpy()]]), view).cpu()
                send(ImagesDone(len(places)))
        return FeaturesMade()


@contextmanager
def _prepared(kind: type[Model], task: PrefixTask | FeatureTask, send: Send) -> Iterator[FrozenFeatures | None]:
    """Give the frozen first layers of a model as its cells will have them; None before the cache holds its stages."""
    setting = task.setting
    with threadpoolctl.threadpool_limits(setting.threads), tempfile.TemporaryDirectory() as cache:
        context = fit_context(setting, task.seed, Path(cache), send)
        model = kind(kind.Options.model_validate(setting.options))
        if not isinstance(model, TorchModel):
            raise TypeError(f"{kind.__name__} is not trained by the shared loop")
        if not stages_are_kept(model, context):
            yield None
            return
        images = images_of(replace(task.images, rows=task.images.rows[:TRIED]), context.device)
        labels = torch.zeros(len(images), dtype=torch.int64, device=context.device)
        yield model.prepared_trainer(LabeledImages(images, labels), context)[0].frozen_features
