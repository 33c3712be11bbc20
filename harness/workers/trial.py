"""The trial of a model: two steps on easy images, saved, loaded, and asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from harness.cache import Cache
from harness.errors import DivergedError
from harness.plugin_api.conformance import are_close, as_numbers, load_failure, refuse_other_predictions
from harness.plugin_api.model import FitContext, LabeledImages, Model
from harness.plugin_api.schedule import Schedule
from harness.synthetic.easy_images import easy_images, easy_source
from harness.training.auto import EAGER
from harness.training.torch_model import TorchModel

_STEPS, _BATCH = 2, 4
_BATCH_OF_OTHERS = 16  # what is no network may divide its images into folds


def is_shared_loop(kind: type[Model]) -> bool:
    """Return whether the harness alone trains a model: a step that fails on a few images then fails on many."""
    return issubclass(kind, TorchModel) and kind.fit is TorchModel.fit


def brief_context(context: FitContext, folder: Path) -> FitContext:
    """Return a context in which two steps are an epoch, an epoch is all, and nothing is told.

    Args:
        context: Of the model.
        folder: Takes what the model would keep.
    """
    counts = _STEPS * _BATCH, _BATCH
    return replace(
        context,
        schedule=_brief_schedule(context.schedule),
        sources={
            name: easy_source(name, source.classes, counts, context.size, context.device)
            for name, source in context.sources.items()
        },
        cache=folder,
        stages=Cache(folder / "stages", lambda _: None),
        report=lambda _: None,
        note=lambda _: None,
        execution_mode=EAGER,
    )


def try_model(make: Callable[[], Model], context: FitContext) -> None:
    """Fit a model on a few images, save it, load it as another one, and see that this predicts the same.

    Nothing is said of a model whose loss has no bounds on these images, or that answers otherwise when asked twice.

    Args:
        make: Makes the model.
        context: From :func:`brief_context`.

    Raises:
        CheckError: What was saved cannot be loaded, or predicts otherwise.
    """
    model = make()
    batch = _BATCH if isinstance(model, TorchModel) else _BATCH_OF_OTHERS
    batch = max(batch, 2 * len(context.classes))
    train, validation = (_easy_images(count, context) for count in (_STEPS * batch, batch))
    if isinstance(model, TorchModel):
        _shorten_stages(model)
    try:
        model.fit(train, validation, context)
    except DivergedError:
        return
    images = validation.images
    fitted, again = (as_numbers(model.predict_proba(images)) for _ in range(2))
    if are_close(fitted, again):
        refuse_other_predictions(fitted, _loaded_predictions(model, make(), images, context))


def _loaded_predictions(model: Model, other: Model, images: torch.Tensor, context: FitContext) -> NDArray[np.float64]:
    """Return what another model predicts once it has loaded what the first one has saved."""
    folder = context.cache / "trial" / "saved"
    folder.mkdir(parents=True)
    model.save(folder)
    try:
        other.load(folder, context.device, len(context.classes))
        return as_numbers(other.predict_proba(images))
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise load_failure(f"{type(error).__name__}: {error}") from error


def _shorten_stages(model: TorchModel) -> None:
    """Make a model's stages as brief as the rest: their schedules are the model's, not the run's."""
    stages = tuple(replace(stage, schedule=_brief_schedule(stage.schedule)) for stage in model.pretraining())
    model.pretraining = lambda: stages  # type: ignore[method-assign]


def _brief_schedule(schedule: Schedule) -> Schedule:
    return schedule.model_copy(
        update={
            "epochs": 1,
            "batch_size": min(schedule.batch_size, _BATCH),
            "augmentation": "random",
            "precision": "float32",
            "prediction_views": 1,
        }
    )


def _easy_images(count: int, context: FitContext) -> LabeledImages:
    return easy_images(count, count, context.size, len(context.classes), context.device)
