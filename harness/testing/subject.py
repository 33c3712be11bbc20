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
from numpy.typing import NDArray

from harness.cache import Cache
from harness.plugin_api.discovery import RegisteredModel
from harness.plugin_api.model import EpochReport, FitContext, LabeledImages, Model, Source
from harness.plugin_api.schedule import Schedule

SIZE, CLASSES = 32, ("benign", "malignant")
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
        return easy_images(_TRAIN, 0)

    @cached_property
    def validation(self) -> LabeledImages:
        """Images to choose on."""
        return easy_images(_VALIDATION, 1)

    @cached_property
    def test(self) -> LabeledImages:
        """Images to classify."""
        return easy_images(_TEST, 2)

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
            sources={name: _source(name) for name in self.make().requirements().sources},
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


def easy_images(count: int, seed: int, size: int = SIZE, classes: int = 2) -> LabeledImages:
    """Return images of stripes, finer in each class and a little brighter: uint8 (count, 3, size, size)."""
    random_numbers = torch.Generator().manual_seed(seed)
    labels = torch.randperm(count, generator=random_numbers) % classes
    rows = torch.arange(size).view(1, 1, size, 1)
    period = (2 + 3 * labels).view(-1, 1, 1, 1)
    stripes = ((rows // period) % 2).expand(-1, 3, -1, size) * 50 + 90 + 40 * labels.view(-1, 1, 1, 1)
    noise = torch.randint(30, (count, 3, size, size), generator=random_numbers)
    return LabeledImages((stripes + noise).clamp(0, 255).to(torch.uint8), labels)


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


def as_numbers(probabilities: Any) -> NDArray[np.float64]:
    """Return probabilities as float64."""
    return np.asarray(probabilities, dtype=np.float64)


def _source(name: str) -> Source:
    """Return a generated source set of three classes."""
    return Source(
        ("one", "two", "three"),
        f"generated {name}",
        "easy",
        train=lambda: easy_images(_TRAIN, 3, classes=3),
        validation=lambda: easy_images(_VALIDATION, 4, classes=3),
    )
