"""The majority class: what a figure is worth is what it is worth above this."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness import FitContext, LabeledImages, Model, ModelCard, Register, hookimpl

_FILE = "shares.json"


class Majority(Model):
    """Gives every image the training images' class shares."""

    name = "majority"
    _shares: NDArray[np.float64]

    def fit(self, train: LabeledImages, validation: LabeledImages, context: FitContext) -> None:
        """Count the classes."""
        del validation
        counts = np.bincount(train.labels.cpu().numpy(), minlength=len(context.classes))
        self._shares = counts / counts.sum()

    def predict_proba(self, images: torch.Tensor) -> NDArray[np.floating[Any]]:
        """Return the shares, once an image."""
        return np.tile(self._shares, (len(images), 1))

    def describe(self) -> ModelCard:
        """It has nothing to describe."""
        return ModelCard()

    def save(self, folder: Path) -> None:
        """Write the shares."""
        (folder / _FILE).write_text(json.dumps(self._shares.tolist()))

    def load(self, folder: Path, device: torch.device, n_classes: int) -> None:
        """Read the shares."""
        del device, n_classes
        self._shares = np.array(json.loads((folder / _FILE).read_text()))


@hookimpl
def harness_register_models(register: Register) -> None:
    """Offer the model."""
    register(Majority)
