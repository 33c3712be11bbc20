"""The model under check, on easy images of its own."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.cache import Cache
from harness.plugin_api.discovery import RegisteredModel
from harness.plugin_api.model import EpochReport, FitContext, LabeledImages, Model
from harness.plugin_api.schedule import Schedule
from harness.synthetic.easy_images import easy_images, easy_source

SIZE, CLASSES = 32, ("benign", "malignant")
_SOURCE_CLASSES = ("one", "two", "three")
_TRAIN, _VALIDATION, _TEST = 32, 16, 24
SCHEDULE = Schedule(epochs=4, batch_size=8, learning_rate=0.02, augmentation="random")


@dataclass(frozen=True)
class Fitted:
    """A fitted model, and what it told on the way.

    Attributes:
        model: The model.
        epochs: What it has reported.
        notes: What it has noted.
    """

    model: Model
    epochs: list[EpochReport]
    notes: list[str]


@dataclass(eq=False)
class Subject:
    """A model under check.

    Attributes:
        registered: The model and its plugin.
        options: What a config would say.
    """

    registered: RegisteredModel
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> type[Model]:
        """The class."""
        return self.registered.model

    def make(self) -> Model:
        """Make the model anew."""
        return self.kind(self.kind.Options.model_validate(self.options))

    @cached_property
    def train(self) -> LabeledImages:
        """Images to fit on."""
        return easy_images(_TRAIN, 0, SIZE)

    @cached_property
    def validation(self) -> LabeledImages:
        """Images to choose on."""
        return easy_images(_VALIDATION, 1, SIZE)

    @cached_property
    def test(self) -> LabeledImages:
        """Images to classify."""
        return easy_images(_TEST, 2, SIZE)

    @cached_property
    def fitted(self) -> Fitted:
        """The model, fitted once for all checks that only look at it."""
        return self.fit()

    def fit(self, validation: LabeledImages | None = None, schedule: Schedule = SCHEDULE) -> Fitted:
        """Fit the model anew, from the same seed."""
        epochs: list[EpochReport] = []
        notes: list[str] = []
        context = self.context(epochs.append, notes.append, schedule)
        model = self.make()
        model.fit(self.train, validation or self.validation, context)
        return Fitted(model, epochs, notes)

    def context(
        self,
        report: Callable[[EpochReport], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
        schedule: Schedule = SCHEDULE,
    ) -> FitContext:
        """Return a context with generated source sets, and seed what a worker seeds."""
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - for plugins that draw from the global generator
        torch.manual_seed(0)
        return FitContext(
            device=torch.device("cpu"),
            seed=0,
            threads=torch.get_num_threads(),
            classes=CLASSES,
            schedule=schedule,
            sources={
                name: easy_source(name, _SOURCE_CLASSES, (_TRAIN, _VALIDATION), SIZE)
                for name in self.make().requirements().sources
            },
            cache=self.scratch(),
            stages=Cache(self._scratch / "stages", note),
            code=self.registered.source,
            pixels="easy",
            report=report,
            note=note,
            size=SIZE,
        )

    @cached_property
    def _scratch(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="harness-check-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def scratch(self) -> Path:
        """Return an empty folder."""
        return Path(tempfile.mkdtemp(dir=self._scratch))


def environment() -> dict[str, Any]:
    """Return what a model must leave as it was: folder, variables, torch's settings."""
    return {
        "the working folder": Path.cwd(),
        "the environment variables": dict(os.environ),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "whether torch computes gradients": torch.is_grad_enabled(),
    }
