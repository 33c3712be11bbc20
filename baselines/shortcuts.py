"""Models that look at one property of the picture and at no tissue: what a network must beat to have seen any.

Logistic regression, classes weighed alike, on the white point, the mean colour or the sharpness of the very pixels that
every other model gets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from harness_baselines.arrays import ArrayModel
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness import FitContext, LabeledImages, Register, hookimpl, mean_colour, sharpness, white_point


class _Shortcut(ArrayModel):
    """Logistic regression on a property of the picture."""

    is_shortcut = True
    property_of: ClassVar[Callable[[NDArray[np.uint8]], NDArray[np.float64]]]

    def fit(self, train: LabeledImages, validation: LabeledImages, context: FitContext) -> None:
        """Fit on the training images; nothing is chosen, so validation is not looked at."""
        del validation, context
        machine = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
        machine.fit(self._properties(train.images), train.labels.cpu().numpy())
        scaler, regression = machine[0], machine[1]
        slopes = [slope / scaler.scale_ for slope in regression.coef_]  # one of two classes, otherwise one a class
        shifts = np.array([slope @ scaler.mean_ for slope in slopes])
        self._arrays = {"slopes": np.stack(slopes), "intercepts": regression.intercept_ - shifts}

    def predict_proba(self, images: torch.Tensor) -> NDArray[np.floating[Any]]:
        """Return probabilities (N, classes)."""
        found = self._properties(images)
        scores = zip(self._arrays["slopes"], self._arrays["intercepts"], strict=True)
        logits = np.stack([found @ slope + intercept for slope, intercept in scores], axis=1)
        if logits.shape[1] == 1:
            positive = 1 / (1 + np.exp(-logits[:, 0]))
            return np.stack([1 - positive, positive], axis=1)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def _properties(self, images: torch.Tensor) -> NDArray[np.float64]:
        return type(self).property_of(images.cpu().numpy())


class WhitePoint(_Shortcut):
    """The white of the picture, three numbers."""

    name = "white-point"
    property_of = staticmethod(white_point)


class MeanColour(_Shortcut):
    """The mean colour of the picture, three numbers."""

    name = "mean-colour"
    property_of = staticmethod(mean_colour)


class Sharpness(_Shortcut):
    """The sharpness of the picture, one number."""

    name = "sharpness"
    property_of = staticmethod(sharpness)


@hookimpl
def harness_register_models(register: Register) -> None:
    """Offer the three."""
    register(WhitePoint)
    register(MeanColour)
    register(Sharpness)
