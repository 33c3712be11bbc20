"""The Model interface and its data types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from harness.cache import Cache, Note
from harness.plugin_api.options import Options
from harness.plugin_api.schedule import Schedule


class TrainingOptions(Options):
    """Options of a network that the shared loop trains; what is left out is the run's schedule's.

    A model whose options are of such a class is trained as they say, without a line of its own.

    Attributes:
        optimiser: ``sgd`` with the schedule's momentum, or ``adamw``.
        learning_rate: Instead of the schedule's.
        weight_decay: Instead of the schedule's.
        decay: Instead of the schedule's.
    """

    optimiser: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float | None = Field(None, gt=0)
    weight_decay: float | None = Field(None, ge=0)
    decay: Literal["constant", "cosine"] | None = None


@dataclass(frozen=True)
class LabeledImages:
    """Images and what they show.

    Attributes:
        images: uint8 (N, 3, S, S), RGB, on the run's device; in the host's memory where they do not fit there.
        labels: int64 (N,), on the same device; for BreakHis 0 is benign and 1 malignant.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Source:
    """A set of images to pre-train on, divided into train and validation; never an image of the data set.

    Attributes:
        classes: Names in the order of the labels.
        fingerprint: sha256 over its images and their sides.
        pixels: A hash of how its images became pixels.
        train: Loads the images to train on.
        validation: Loads the images to choose the best epoch on.
        held_out: Loads images that take no part in training or choosing, by what they are: ``tiles apart`` are of
            tiles that no other side has, ``copies of trained tiles`` are what a random split would test on.
    """

    classes: tuple[str, ...]
    fingerprint: str
    pixels: str
    train: Callable[[], LabeledImages]
    validation: Callable[[], LabeledImages]
    held_out: Mapping[str, Callable[[], LabeledImages]] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochReport:
    """One epoch of training, a row of a cell's history.

    Attributes:
        stage: ``final`` for the training on the data set, the stage's name for pre-training.
        epoch: From 1.
        train_loss: Mean over the epoch's batches, while the weights changed.
        train_accuracy: Likewise.
        train_balanced_accuracy: Likewise.
        validation_loss: After the epoch.
        validation_accuracy: Likewise.
        validation_balanced_accuracy: Likewise; mean recall over classes.
        images_seen: Since the start of the stage.
        train_seconds: Since the start of the stage, without validation; with what features of frozen layers cost,
            whoever made them.
    """

    stage: str
    epoch: int
    train_loss: float
    train_accuracy: float
    train_balanced_accuracy: float
    validation_loss: float
    validation_accuracy: float
    validation_balanced_accuracy: float
    images_seen: int
    train_seconds: float


@dataclass(frozen=True)
class FitContext:
    """Everything about a run that a model may know while it is fitted.

    Attributes:
        device: Where the tensors are and the work should be done.
        seed: Of this cell. The global generators of torch, numpy and random are seeded with it already.
        threads: CPU threads to use; torch is set to it already.
        classes: Names in the order of the labels.
        schedule: The budget of the comparison.
        sources: The source sets that :meth:`Model.requirements` asked for, by name.
        cache: A folder for what can be computed again. It is that of the plugin's cells with these very images on these
            very sides, so that nothing which was fitted on an image can reach a cell that is tested on it.
        stages: Where pre-trained stages are kept, for all cells: no image of the data set takes part in them.
        code: A hash of the plugin's source.
        pixels: A hash of how images became pixels, to key what goes into ``cache``.
        report: Call it once an epoch; it feeds the live display and the cell's history.
        note: Call it with one line that whoever watches the run should know.
        execution_mode: How training steps are to be executed: ``eager``, ``captured`` or ``compiled``.
        checkpoint: A folder of this very cell in which ``fit`` may leave what it needs to go on after an interruption;
            it is empty at first, and removed when the cell is done. None where nothing is to be kept.
        checkpoint_seconds: How long training may go on without leaving a checkpoint.
        size: Side of the images in pixels.
        features: A folder in which the shared loop finds what frozen first layers make of the run's images; None where
            it makes that itself.
    """

    device: torch.device
    seed: int
    threads: int
    classes: tuple[str, ...]
    schedule: Schedule
    sources: Mapping[str, Source]
    cache: Path
    stages: Cache
    code: str
    pixels: str
    report: Callable[[EpochReport], None]
    note: Note
    execution_mode: str = "eager"
    checkpoint: Path | None = None
    checkpoint_seconds: float = 600.0
    size: int = 0
    features: Path | None = None


@dataclass(frozen=True)
class Requirements:
    """What a model needs before it can be fitted; the host checks it before any training.

    Attributes:
        sources: Names of source sets in the config.
        files: Files of weights; their content becomes part of the cell's key.
    """

    sources: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Throughput:
    """How fast a model works, alone on the device.

    Attributes:
        images_per_second: Of training steps.
        predictions_per_second: Of classifying with the whole model.
        features_per_second: Images that frozen layers turn into features, once before the steps; None where no features
            are kept.
        feature_bytes: Of one image's features in one view.
    """

    images_per_second: float
    predictions_per_second: float
    features_per_second: float | None = None
    feature_bytes: int | None = None


@dataclass(frozen=True)
class ModelCard:
    """A fitted model in numbers; None where a number has no meaning for it.

    Attributes:
        parameters: All of them.
        trainable_parameters: Those that the last stage trained.
        weights_bytes: Size of the weights as stored, float32.
        checkpoint_bytes: The same with the optimiser's state.
        forward_flop: Floating-point operations of one image's forward pass (a multiply-add is two).
        execution_mode: How training steps were executed.
        start_up_seconds: What compilation, warm-up and capture took; no part of the training time.
        precision: Of the training steps.
        feature_images: Training images that frozen layers turned into features before the first step, each view
            counted.
        provenance: Where the weights come from, first stage first.
        inspection: What the model tells of its networks after each stage, by stage and name.
    """

    parameters: int | None = None
    trainable_parameters: int | None = None
    weights_bytes: int | None = None
    checkpoint_bytes: int | None = None
    forward_flop: int | None = None
    execution_mode: str = "none"
    start_up_seconds: float | None = None
    precision: str = "float32"
    feature_images: int = 0
    provenance: tuple[str, ...] = field(default=())
    inspection: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class Model(ABC):
    """A classifier that the harness can compare with others.

    A model is made once a cell, fitted once, and asked for probabilities. It sees train and validation labels; test
    images reach :meth:`predict_proba` shuffled and without names. Validation images are for choices (an epoch, a
    penalty, a calibration), never for fitting weights.

    Class attributes:
        name: Unique among all models; what a config calls it.
        reproduces: The paper's name of the network, if it reproduces one (``DenseNet``, ``DenseNet + SE``, ``Ours``):
            its published numbers are then printed beside this model's, as long as it has no :meth:`deviations`.
        is_shortcut: Looks at a property of the picture that says nothing of tissue, such as its white; table 3 says
            which models can be told from the best of these.
        Options: The model's options; ``self.options`` holds them.
    """

    name: ClassVar[str]
    reproduces: ClassVar[str | None] = None
    is_shortcut: ClassVar[bool] = False
    Options: ClassVar[type[Options]] = Options

    def __init__(self, options: Any = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    def requirements(self) -> Requirements:
        """Say what must be there before :meth:`fit`; called by the host, before any training."""
        return Requirements()

    def deviations(self) -> tuple[str, ...]:
        """Name what in the options is not as in the paper, for a model that reproduces one of its networks."""
        return ()

    def check(self, sample: LabeledImages, context: FitContext) -> None:
        """Do whatever would make every :meth:`fit` fail alike, such as reading weights; called before the first cell.

        Args:
            sample: A few random images; not those of the comparison.
            context: Of no cell in particular.
        """
        del sample, context

    @abstractmethod
    def fit(self, train: LabeledImages, validation: LabeledImages, context: FitContext) -> None:
        """Fit the model; called once."""

    @abstractmethod
    def predict_proba(self, images: torch.Tensor) -> NDArray[np.floating[Any]]:
        """Classify images.

        Args:
            images: uint8 (N, 3, S, S) on the run's device; N is any number, at least 1.

        Returns:
            (N, n_classes): finite probabilities, each row summing to 1 within 1e-3, rows in the order of ``images``.
        """

    @abstractmethod
    def describe(self) -> ModelCard:
        """Describe the fitted model in numbers."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the fitted model below ``folder``, as arrays and text: nothing that must be unpickled."""

    @abstractmethod
    def load(self, folder: Path, device: torch.device, n_classes: int) -> None:
        """Become the model that :meth:`save` wrote; it predicts as that one did."""

    def explain(self, images: torch.Tensor) -> NDArray[np.floating[Any]] | None:
        """Show where in images the evidence for their predicted class lies; called after :meth:`load`.

        Args:
            images: As :meth:`predict_proba` takes them.

        Returns:
            (N, S, S): 0 where there is no evidence, 1 where there is the most; None if the model cannot tell.
        """
        del images
        return None

    def how_explained(self) -> Mapping[str, str]:
        """Say how :meth:`explain` has made its maps, in words that are kept beside them, such as ``method``."""
        return {}

    def measure_throughput(self, sample: LabeledImages, context: FitContext) -> Throughput | None:
        """Train a few steps on a sample, alone on the device, and throw the result away.

        Returns:
            None for a model that does not train in steps.
        """
        del sample, context
        return None

    def estimate_pretraining(self, context: FitContext) -> Mapping[str, float]:
        """Return about how many seconds each stage before the data set will take that the cache does not hold.

        Returns:
            By a key that models which share a stage give it alike.
        """
        del context
        return {}
