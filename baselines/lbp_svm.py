"""Local binary patterns and a support vector machine: texture statistics, no learning of features.

Uniform LBP histograms (Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 2002) at several radii, scaled, an RBF support vector
classifier with C and gamma chosen on validation, and Platt's sigmoid fitted on validation. The fitted model is kept as
plain arrays.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import SVC

from harness import FitContext, LabeledImages, Model, ModelCard, Options, hookimpl
from harness.data.texture import Channel, TextureRecipe, texture_features
from harness.plugin_api.hookspecs import Register

Array = NDArray[np.float64]
_FILE = "model.safetensors"


class LbpSvmOptions(Options):
    """Features and search grid.

    Attributes:
        radii: Of the patterns, in pixels; each has 8 points a pixel of radius.
        channel: The ``grey`` image, or its ``haematoxylin`` density after colour deconvolution.
        penalties: Values of C to try.
        gammas: Values of the RBF kernel's gamma to try, in multiples of 1 / number of features.
    """

    radii: tuple[int, ...] = (1, 2, 3)
    channel: Channel = "grey"
    penalties: tuple[float, ...] = Field((0.1, 1.0, 10.0, 100.0), min_length=1)
    gammas: tuple[float, ...] = Field((0.1, 0.3, 1.0, 3.0), min_length=1)


class LbpSvm(Model):
    """Uniform LBP histograms, RBF support vector machine."""

    name = "lbp-svm"
    Options = LbpSvmOptions
    _arrays: dict[str, Array]
    _cache: Path | None = None
    _threads: int | None = None

    def fit(self, train: LabeledImages, validation: LabeledImages, context: FitContext) -> None:
        """Compute features, search the grid on validation, calibrate on validation."""
        self._cache, self._threads = context.cache / "lbp", context.threads
        x, y = self._features(train.images), train.labels.cpu().numpy()
        mean, scale = x.mean(0), x.std(0) + 1e-12
        x, held = (x - mean) / scale, (self._features(validation.images) - mean) / scale
        weights = "balanced" if context.schedule.class_weights == "balanced" else None
        machine = self._search(x, y, held, validation.labels.cpu().numpy(), weights)
        everything = np.arange(len(held))  # the machine is frozen, so its scores of all held images are out of sample
        calibrated = CalibratedClassifierCV(FrozenEstimator(machine), cv=[(everything, everything)], ensemble=False)
        calibrated.fit(held, validation.labels.cpu().numpy())
        sigmoid = calibrated.calibrated_classifiers_[0].calibrators[0]
        self._arrays = {
            "mean": mean,
            "scale": scale,
            "support_vectors": machine.support_vectors_,
            "dual_coefficients": machine.dual_coef_[0],
            "intercept": machine.intercept_,
            "gamma": np.array([machine.gamma]),
            "sigmoid": np.array([sigmoid.a_, sigmoid.b_]),
        }

    def predict_proba(self, images: torch.Tensor) -> NDArray[np.floating[Any]]:
        """Return calibrated probabilities (N, 2)."""
        arrays = self._arrays
        x = (self._features(images) - arrays["mean"]) / arrays["scale"]
        a, b = arrays["sigmoid"]
        malignant = 1 / (1 + np.exp(a * self._decision(x) + b))
        return np.stack([1 - malignant, malignant], axis=1)

    def describe(self) -> ModelCard:
        """Count what the fitted machine stores."""
        stored = sum(array.size for array in self._arrays.values())
        return ModelCard(parameters=stored, weights_bytes=4 * stored)

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        safetensors.numpy.save_file(self._arrays, folder / _FILE)

    def load(self, folder: Path, device: torch.device, n_classes: int) -> None:
        """Read the arrays."""
        del device, n_classes
        self._arrays = safetensors.numpy.load_file(folder / _FILE)

    def _search(self, x: Array, y: Array, held: Array, held_y: Array, weights: str | None) -> SVC:
        """Return the machine with the best balanced accuracy on validation; ties go to the smaller C, then gamma."""
        best, best_score = None, -1.0
        for penalty, gamma in product(sorted(self.options.penalties), sorted(self.options.gammas)):
            machine = SVC(C=penalty, gamma=gamma / x.shape[1], class_weight=weights).fit(x, y)
            score = balanced_accuracy_score(held_y, machine.predict(held))
            if score > best_score:
                best, best_score = machine, score
        return best

    def _decision(self, x: Array) -> Array:
        arrays = self._arrays
        support = arrays["support_vectors"]
        distances = (x**2).sum(1)[:, None] + (support**2).sum(1)[None] - 2 * x @ support.T
        return np.exp(-arrays["gamma"][0] * distances) @ arrays["dual_coefficients"] + arrays["intercept"][0]

    def _features(self, images: torch.Tensor) -> Array:
        recipe = TextureRecipe(self.options.radii, self.options.channel)
        return texture_features(images.cpu().numpy(), recipe, self._cache, self._threads)


@hookimpl
def harness_register_models(register: Register) -> None:
    """Offer the model."""
    register(LbpSvm)
