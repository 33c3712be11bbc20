"""The training budget of a comparison."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.settings import Settings

ExecutionMode = Literal["auto", "eager", "captured", "compiled"]
"""How training steps are executed; ``auto`` is what suits the device."""

Precision = Literal["auto", "float32", "bf16"]
"""Of training steps; ``auto`` is bf16 on CUDA and float32 on the CPU."""

FINAL_STAGE = "final"
"""What histories call the training on the data set itself; stages before it have names of their own."""


class Schedule(Settings):
    """How long and how to train; the defaults are the paper's (its table 2), and where it is silent, stated choices.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step; a set smaller than a batch is one batch.
        learning_rate: Of SGD.
        momentum: Of SGD (the paper does not name its optimiser).
        weight_decay: L2 penalty (not in the paper).
        decay: ``constant`` rate, or ``cosine`` down to zero over ``epochs``, which ties convergence to the budget.
        augmentation: ``sixfold``: an epoch shows every image in all six views, as the paper describes its set;
            ``random``: one view an image, drawn anew each epoch; or ``none``.
        class_weights: ``balanced`` weighs the loss by inverse class frequency.
        precision: ``auto`` is bf16 on CUDA and float32 on the CPU.
        patience: Stop after so many epochs without a better one; null trains to the end.
        prediction_views: 1, or 8 to average a network's probabilities over all rotations and flips. Epochs are chosen
            on one view.
    """

    epochs: int = Field(200, ge=1)
    batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    decay: Literal["constant", "cosine"] = "constant"
    augmentation: Literal["sixfold", "random", "none"] = "sixfold"
    class_weights: Literal["none", "balanced"] = "none"
    precision: Precision = "auto"
    patience: int | None = Field(None, ge=1)
    prediction_views: Literal[1, 8] = 1
