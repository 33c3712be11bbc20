"""Base of a fitted model that is a few arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from harness import Model, ModelCard

_FILE = "model.safetensors"


class ArrayModel(Model):
    """A model that ``fit`` leaves as float64 arrays, by name."""

    _arrays: dict[str, NDArray[np.float64]]

    def describe(self) -> ModelCard:
        """Count what the arrays hold."""
        stored = sum(array.size for array in self._arrays.values())
        return ModelCard(parameters=stored, weights_bytes=4 * stored)

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        safetensors.numpy.save_file(self._arrays, folder / _FILE)

    def load(self, folder: Path, device: torch.device, n_classes: int) -> None:
        """Read the arrays."""
        del device, n_classes
        self._arrays = safetensors.numpy.load_file(folder / _FILE)
