"""Local binary patterns and a support vector machine: texture statistics, no learning of features.

Uniform LBP histograms (Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 2002) at several radii, scaled, and an RBF support
vector classifier; of more than two classes one for each, against the others. Both sides weigh alike wherever something
is fitted or chosen: in the machine's penalty, in the AUC by which C and gamma are chosen on validation, and in Platt's
sigmoid (Platt 1999), fitted on validation, whose 0.5 is then where an image of either side is equally likely. The
fitted model is kept as plain arrays.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch
from harness_baselines.arrays import ArrayModel
from harness_baselines.texture import Channel, TextureRecipe, texture_features
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from harness import FitContext, LabeledImages, Options, Register, hookimpl

Array = NDArray[np.float64]
_LEAST = 1e-12  # of a probability: where every class is ruled out, all are as likely


class LbpSvmOptions(Options):
    """Features and search grid.

    Attributes:
        radii: Of the patterns, in pixels; each has 8 points a pixel of radius.
        channel: Red, green and blue, each by itself (``colour``; Mäenpää and Pietikäinen, Pattern Recognition 2004),
            the ``grey`` image, or its ``haematoxylin`` density after colour deconvolution. Colour was chosen on
            validation.
        penalties: Values of C to try.
        gammas: Values of the RBF kernel's gamma to try, in multiples of 1 / number of features.
    """

    radii: tuple[int, ...] = (1, 2, 3)
    channel: Channel = "colour"
    penalties: tuple[float, ...] = Field((0.1, 1.0, 10.0, 100.0), min_length=1)
    gammas: tuple[float, ...] = Field((0.1, 0.3, 1.0, 3.0), min_length=1)


def _positives(classes: int) -> tuple[int, ...]:
    """Return the classes that are told from the others: of two the second."""
    return (1,) if classes == 2 else tuple(range(classes))


class LbpSvm(ArrayModel):
    """Uniform LBP histograms, RBF support vector machine."""

    name = "lbp-svm"
    Options = LbpSvmOptions

    def fit(self, train: LabeledImages, validation: LabeledImages, context: FitContext) -> None:
        """Compute features, search the grid on validation, calibrate on validation."""
        x, y = self._features(train.images), train.labels.cpu().numpy()
        held_y = validation.labels.cpu().numpy()
        mean, scale = x.mean(0), x.std(0) + 1e-12
        x, held = (x - mean) / scale, (self._features(validation.images) - mean) / scale
        self._arrays = {"mean": mean, "scale": scale}
        for positive in _positives(len(context.classes)):
            self._fit_one(positive, (x, (y == positive).astype(int)), (held, (held_y == positive).astype(int)))

    def predict_proba(self, images: torch.Tensor) -> NDArray[np.floating[Any]]:
        """Return calibrated probabilities (N, classes); of more than two classes they are made to sum to one."""
        x = (self._features(images) - self._arrays["mean"]) / self._arrays["scale"]
        if "sigmoid 0" not in self._arrays:
            positive = self._probability(x, 1)
            return np.stack([1 - positive, positive], axis=1)
        classes = sum(name.startswith("sigmoid") for name in self._arrays)
        found = np.stack([self._probability(x, positive) for positive in range(classes)], axis=1)
        found = found.clip(_LEAST)
        return found / found.sum(axis=1, keepdims=True)

    def _fit_one(self, positive: int, train: tuple[Array, Array], held: tuple[Array, Array]) -> None:
        """Tell one class from the others."""
        machine = self._search(*train, *held)
        scores = machine.decision_function(held[0])[:, None]
        sigmoid = LogisticRegression(class_weight="balanced").fit(scores, held[1])
        self._arrays |= {
            f"support_vectors {positive}": machine.support_vectors_,
            f"dual_coefficients {positive}": machine.dual_coef_[0],
            f"intercept {positive}": machine.intercept_,
            f"gamma {positive}": np.array([machine.gamma]),
            f"sigmoid {positive}": np.array([sigmoid.coef_[0, 0], sigmoid.intercept_[0]]),
        }

    def _probability(self, x: Array, positive: int) -> Array:
        slope, intercept = self._arrays[f"sigmoid {positive}"]
        return 1 / (1 + np.exp(-slope * self._decision(x, positive) - intercept))

    def _search(self, x: Array, y: Array, held: Array, held_y: Array) -> SVC:
        """Return the machine with the best AUC on validation; ties go to the smaller C, then gamma."""
        best, best_score = None, -1.0
        for penalty, gamma in product(sorted(self.options.penalties), sorted(self.options.gammas)):
            machine = SVC(C=penalty, gamma=gamma / x.shape[1], class_weight="balanced").fit(x, y)
            score = roc_auc_score(held_y, machine.decision_function(held))
            if score > best_score:
                best, best_score = machine, score
        return best

    def _decision(self, x: Array, positive: int) -> Array:
        support, coefficients, intercept, gamma = (
            self._arrays[f"{name} {positive}"]
            for name in ("support_vectors", "dual_coefficients", "intercept", "gamma")
        )
        distances = (x**2).sum(1)[:, None] + (support**2).sum(1)[None] - 2 * x @ support.T
        return np.exp(-gamma[0] * distances) @ coefficients + intercept[0]

    def _features(self, images: torch.Tensor) -> Array:
        recipe = TextureRecipe(self.options.radii, self.options.channel)
        return texture_features(images.cpu().numpy(), recipe, torch.get_num_threads())


@hookimpl
def harness_register_models(register: Register) -> None:
    """Offer the model."""
    register(LbpSvm)
