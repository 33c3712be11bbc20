"""What the parts of the record are measured on: the device, the sizes, the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.config.config_files import load_config
from harness.planning.models import model_entries
from harness.plugin_api.discovery import discover
from harness.plugin_api.schedule import ExecutionMode, Precision, Schedule
from harness.training.auto import resolve_execution_mode
from harness.training.concurrent import TrainingSpec

HERE = Path(__file__).parent
WHOLE, FROZEN = "densenet", "deep-transfer"
"""Labels of the config: a network that is trained whole, and one that is frozen through all blocks but the last."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        name: For the record.
        config: Of the two models, for ``harness bench train`` as well.
        matrix: What ``harness run`` is called with.
        pixels: Side of the images.
        batch: Images a training step.
        steps: Training steps whose losses are compared.
        images: To classify, to make features of and to stream.
        batches: Images a step of prediction, and of features.
        jobs: Cells at once, several numbers of them.
        usual_jobs: Cells at once where one number will do.
        rounds: How often each way has its turn.
        seconds: About how long a turn takes.
        copied_bytes: Of one copy of memory.
        product_side: Of the square matrices that are multiplied.
    """

    name: str
    config: str
    matrix: str
    pixels: int
    batch: int
    steps: int
    images: int
    batches: tuple[int, ...]
    jobs: tuple[int, ...]
    usual_jobs: int
    rounds: int
    seconds: float
    copied_bytes: int
    product_side: int


FULL = Size(
    "full",
    config="bench",
    matrix=str(HERE / "matrix.yaml"),
    pixels=224,
    batch=32,
    steps=20,
    images=1024,
    batches=(64, 128, 256, 512, 1024),
    jobs=(1, 2, 4, 8),
    usual_jobs=4,
    rounds=3,
    seconds=1.0,
    copied_bytes=1 << 30,
    product_side=8192,
)
TINY = Size(
    "tiny",
    config=str(HERE / "tiny.yaml"),
    matrix=str(HERE / "tiny.yaml"),
    pixels=32,
    batch=4,
    steps=8,
    images=8,
    batches=(2, 4),
    jobs=(1, 2),
    usual_jobs=2,
    rounds=1,
    seconds=0.01,
    copied_bytes=1 << 16,
    product_side=16,
)


@dataclass(frozen=True)
class Setting:
    """What a part is given.

    Attributes:
        device: ``cuda`` or ``cpu``; the size is tiny on the latter.
        scratch: Folder for what is kept from one call to the next.
        data: BreakHis; None for generated images.
    """

    device: str
    scratch: Path
    data: Path | None

    @property
    def size(self) -> Size:
        """How much is measured."""
        return TINY if self.device == "cpu" else FULL

    def spec(
        self,
        label: str,
        mode: ExecutionMode,
        precision: Precision = "auto",
        epochs: int = 1,
        options: Mapping[str, Any] | None = None,
    ) -> TrainingSpec:
        """Return how a model of the config is trained; more than six epochs let features of frozen layers be kept."""
        _, config = load_config(self.size.config)
        (entry,) = model_entries(config.with_models([label]), discover())
        schedule = Schedule(epochs=epochs, batch_size=self.size.batch, augmentation="random", precision=precision)
        return TrainingSpec(
            entry.registered.plugin,
            entry.registered.model.name,
            {**entry.options, **(options or {})},
            2,
            self.size.pixels,
            schedule,
            device=self.device,
            execution_mode=resolve_execution_mode(mode, torch.device(self.device).type),
            threads=1,
        )
