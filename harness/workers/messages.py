"""Messages between host and workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from harness.plugin_api.model import EpochReport, ModelCard, Throughput
from harness.plugin_api.schedule import Schedule

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class ImageRows:
    """Some rows of a decoded array on disk.

    Attributes:
        array_file: The uint8 array (N, 3, S, S).
        rows: int64 (n,), rows of the array.
    """

    array_file: Path
    rows: IntArray


@dataclass(frozen=True)
class LabeledRows:
    """Rows of a decoded array and their labels, int64 (n,)."""

    images: ImageRows
    labels: IntArray


@dataclass(frozen=True)
class SourceRows:
    """A source set; its sides are those of :class:`~harness.plugin_api.model.Source`."""

    classes: tuple[str, ...]
    fingerprint: str
    pixels: str
    train: LabeledRows
    validation: LabeledRows
    held_out: dict[str, LabeledRows]


@dataclass(frozen=True)
class ModelJob:
    """What all cells of a model have in common.

    Attributes:
        options: The model's options as JSON values.
        classes: Names in the order of the labels.
        size: Side of the images in pixels.
        device: As torch names it.
        threads: CPU threads.
        schedule: The budget.
        sources: The source sets that the model asked for.
        cache: The cache folder, of the whole harness.
        code: Hash of the plugin's source.
        pixels: Hash of how the run's images became pixels, and of which they are.
        execution_mode: How training steps are to be executed.
    """

    options: dict[str, Any]
    classes: tuple[str, ...]
    size: int
    device: str
    threads: int
    schedule: Schedule
    sources: dict[str, SourceRows]
    cache: Path
    code: str
    pixels: str
    execution_mode: str


@dataclass(frozen=True)
class FitTask:
    """Fit one cell and predict.

    Attributes:
        setting: What it shares with the model's other cells.
        seed: The cell's.
        cache: The folder that it shares with cells of the same images on the same sides.
        train: Images and labels to fit on.
        validation: Images and labels to choose on.
        test: Images to classify, shuffled, without names or labels.
        folder: Where the fitted model is saved.
        look_closely: Also see whether predictions depend on which images stand beside each other.
        checkpoint: The cell's folder for what it needs to go on after an interruption, or None.
        checkpoint_minutes: How long training may go on without leaving a checkpoint.
        features: The folder of a feature set that frozen first layers may be in, or None.
    """

    setting: ModelJob
    seed: int
    cache: Path
    train: LabeledRows
    validation: LabeledRows
    test: ImageRows
    folder: Path
    look_closely: bool = False
    checkpoint: Path | None = None
    checkpoint_minutes: float = 10.0
    features: Path | None = None


@dataclass(frozen=True)
class MeasureTask:
    """Train a few steps on random images, alone on the device.

    Attributes:
        setting: What it shares with the model's cells.
        with_pretraining: Also find out what the stages will take that the cache does not hold.
        calibration_seconds: Of the calibration workload beside a model before this one, which will do for a model
            without steps; None to time it for this model in any case.
    """

    setting: ModelJob
    with_pretraining: bool = False
    calibration_seconds: float | None = None


FeatureType = Literal["float32", "float16", "bfloat16"]
FEATURE_TYPES: tuple[FeatureType, ...] = get_args(FeatureType)
"""What features that cells share may be."""


@dataclass(frozen=True)
class PrefixTask:
    """Prepare a model's network as its cells do, and say what its frozen first layers are.

    Attributes:
        setting: What it shares with the model's cells.
        seed: Of a cell; where the layers depend on it, other seeds find that theirs are others.
        images: A few images on which the layers are tried.
    """

    setting: ModelJob
    seed: int
    images: ImageRows


@dataclass(frozen=True)
class FeatureTask:
    """Write what a model's frozen first layers make of images; there is no label and no side in it.

    Attributes:
        setting: What it shares with the model's cells.
        seed: That of the :class:`PrefixTask`.
        images: In the order of the file.
        views: How many of the six views each is shown in.
        prefix: What :class:`PrefixFound` said of the layers.
        file: The array (M, V, ...) to write to.
        first: Where the first of these images stands in it.
    """

    setting: ModelJob
    seed: int
    images: ImageRows
    views: int
    prefix: PrefixFound
    file: Path
    first: int


@dataclass(frozen=True)
class TrialTask:
    """Fit on a few easy images, save, load, and see that the loaded model predicts as the fitted one does.

    Attributes:
        setting: What it shares with the model's cells.
    """

    setting: ModelJob


@dataclass(frozen=True)
class ExplainTask:
    """Show where in images a fitted model finds the evidence for what it predicts.

    Attributes:
        setting: What its cell shares with the model's others.
        folder: A copy of what the model has saved; whatever becomes of it is nobody's loss.
        images: Images to explain, without names or labels.
    """

    setting: ModelJob
    folder: Path
    images: ImageRows


@dataclass(frozen=True)
class PredictTask:
    """Classify images with a fitted model.

    Attributes:
        setting: What its cell shares with the model's others.
        seed: The cell's.
        folder: A copy of what the model has saved; whatever becomes of it is nobody's loss.
        images: Images to classify, without names or labels.
    """

    setting: ModelJob
    seed: int
    folder: Path
    images: ImageRows


@dataclass(frozen=True)
class Fitted:
    """What a worker returns for a :class:`FitTask`.

    Attributes:
        validation: Probabilities (n, n_classes) in the order of the task's validation rows.
        test: Likewise for the test rows.
        card: The model in numbers.
        fit_seconds: Wall time of ``fit``.
        predict_seconds: Wall time of classifying the test images.
        peak_memory_bytes: Of the process, or of the device's memory on CUDA.
    """

    validation: NDArray[np.float64]
    test: NDArray[np.float64]
    card: ModelCard
    fit_seconds: float
    predict_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Measured:
    """What a worker returns for a :class:`MeasureTask`.

    Attributes:
        throughput: None for a model that does not train in steps.
        calibration_seconds: Of the calibration workload in the same process, in turns with the model's steps or before
            and after; None where nothing could be measured.
        peak_memory_bytes: Of the process, or of the device's memory on CUDA.
        pretraining_seconds: What each stage before the data set will still take, by its key, if that was asked.
    """

    throughput: Throughput | None
    calibration_seconds: float | None
    peak_memory_bytes: int
    pretraining_seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PrefixFound:
    """What a worker returns for a :class:`PrefixTask`.

    Attributes:
        key: Of the layers; None where there are none whose output never changes.
        shape: Of one image's features in one view.
        dtype: As torch names it.
        lacks_stages: The network cannot be prepared before the cache holds all stages, so nothing is known of it.
    """

    key: str | None = None
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...], Field(max_length=5)] = ()
    dtype: FeatureType = "float32"
    lacks_stages: bool = False


@dataclass(frozen=True)
class ImagesDone:
    """What a worker says while it does a :class:`FeatureTask`: so many more images, each view counted, are done."""

    count: int


@dataclass(frozen=True)
class FeaturesMade:
    """What a worker returns for a :class:`FeatureTask` that is done."""


@dataclass(frozen=True)
class Tried:
    """What a worker returns for a :class:`TrialTask` in which nothing speaks against the model's cells."""


@dataclass(frozen=True)
class Explained:
    """What a worker returns for an :class:`ExplainTask`.

    Attributes:
        maps: uint8 (n, S, S), in the order of the task's rows; 255 where there is the most evidence.
        how: How they were made, by what it is: ``method``, ``layer``.
    """

    maps: NDArray[np.uint8]
    how: Mapping[str, str]


@dataclass(frozen=True)
class NotExplained:
    """Why an :class:`ExplainTask` cannot be done with such a model, in one line; nothing has failed."""

    reason: str


@dataclass(frozen=True)
class Predicted:
    """What a worker returns for a :class:`PredictTask`.

    Attributes:
        probabilities: float64 (n, n_classes), in the order of the task's rows.
    """

    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Notice:
    """What a worker tells whoever watches the run, in one line, before it answers."""

    text: str


@dataclass(frozen=True)
class Failure:
    """Why a task failed.

    Attributes:
        reason: In one line, for a person.
        traceback: If there is one.
        cause: ``memory`` if it ran out of it and may succeed with nothing beside it, ``disk`` if something could not be
            written, ``certain`` if every cell of the model would fail alike, ``plugin`` otherwise.
    """

    reason: str
    traceback: str = ""
    cause: Literal["plugin", "memory", "disk", "certain"] = "plugin"


Task = FitTask | MeasureTask | PrefixTask | FeatureTask | TrialTask | ExplainTask | PredictTask
Answer = (
    EpochReport
    | Notice
    | ImagesDone
    | Fitted
    | Measured
    | PrefixFound
    | FeaturesMade
    | Tried
    | Explained
    | NotExplained
    | Predicted
    | Failure
)
Report = Callable[[EpochReport], None]
