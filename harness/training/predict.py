"""Batched prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.training.auto import CAPTURED, EAGER, resolve_execution_mode
from harness.training.execution_modes import prepare
from harness.training.feed import Feed
from harness.training.step import PredictionStep

_BATCH_ON_CPU = 64
_BATCH_ON_CUDA = 256  # at most: an H200 classifies 9,589 images a second so, and 10,161 in batches of 1,024
_BATCHES_WORTH_A_CAPTURE = 16


@dataclass(frozen=True)
class Prediction:
    """How a fitted network classifies.

    Attributes:
        n_classes: Of its output.
        precision: ``bf16`` or ``float32``.
        execution_mode: From :func:`~harness.training.auto.resolve_execution_mode`.
        views: 1, or 8 for the mean over all rotations and flips.
    """

    n_classes: int
    precision: str
    execution_mode: str = EAGER
    views: int = 1

    def to_text(self) -> dict[str, str]:
        """Return what a saved network must know of it."""
        return {"precision": self.precision, "views": str(self.views)}

    @classmethod
    def from_text(cls, n_classes: int, text: Mapping[str, str], device_type: str) -> Prediction:
        """Return what :meth:`to_text` tells, executed as suits the device."""
        return cls(n_classes, text["precision"], resolve_execution_mode("auto", device_type), int(text["views"]))


def evaluation_batch(images: int, device_type: str) -> int:
    """Return how many of so many images are classified a step.

    The number never depends on free memory: the bits of a prediction depend on it. On CUDA images are spread evenly
    over as few batches as will do, since the last one overlaps the one before.
    """
    if device_type != "cuda":
        return _BATCH_ON_CPU
    batches = max(1, -(-images // _BATCH_ON_CUDA))
    return -(-images // batches)


class Predictor:
    """Classifies the same images again and again, as a network changes.

    Args:
        step: Classifies a batch.
        execution_mode: From :func:`~harness.training.auto.resolve_execution_mode`.
    """

    def __init__(self, step: PredictionStep, execution_mode: str) -> None:
        step.network.eval()
        self._step = step
        self._prepared = prepare(step, EAGER if execution_mode == EAGER else CAPTURED, step.logits.device)

    @property
    def start_up_seconds(self) -> float:
        """What warm-up and capture took."""
        return self._prepared.seconds

    def logits(self, view: int = 0) -> torch.Tensor:
        """Return float32 (N, n_classes) for all images in one view, valid until the next call."""
        step = self._step
        step.network.eval()
        step.begin(view)
        for _ in range(0, len(step.logits), step.size):
            self._prepared.run()
        return step.logits


def predict_probabilities(network: nn.Module, feed: Feed, images: int, how: Prediction) -> NDArray[np.float64]:
    """Return class probabilities (N, n_classes), rows summing to 1.

    Args:
        network: On its device.
        feed: Gives its logits of N images.
        images: N.
        how: In which precision, in how many views.
    """
    device = next(network.parameters()).device
    batch = evaluation_batch(images, device.type)
    step = PredictionStep(network, feed, images, how.n_classes, batch, device=device, precision=how.precision)
    few = how.views * images < _BATCHES_WORTH_A_CAPTURE * batch
    predictor = Predictor(step, EAGER if few else how.execution_mode)
    seen = [predictor.logits(view).double().softmax(1).cpu() for view in range(how.views)]
    probabilities: NDArray[np.float64] = torch.stack(seen).mean(0).numpy()
    return probabilities
