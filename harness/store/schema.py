"""Records of a run folder: what ``run.json`` and ``cell.json`` hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from harness.config.run_config import RunConfig, parse_config
from harness.data.description import DataSetDescription
from harness.evaluation.metric_names import METRIC_NAMES
from harness.store.cells import Cell
from harness.store.record import Count, Fraction, Record, Seconds, Speed

SCHEMA_VERSION = 6
MAX_CELLS = 1_000_000
SCORED = "scored"
"""What a config calls the plugin of a row of predictions that were made elsewhere."""

SHARED_PARTS = ("plugin", "options", "starts from", "training version")
"""Parts of a cell's key that all cells of a model have in common, unless some of them are stale."""


class ProtocolRecord(Record):
    """The protocol of a run.

    Attributes:
        name: As in the config.
        title: For a heading.
        cross_validates: Every image is tested once a seed, over folds.
        shared_groups: Groups with images on two sides.
    """

    name: str
    title: str
    cross_validates: bool
    shared_groups: Count


class ComparisonRecord(Record):
    """What must be equal for two results to share a table; the comparison key is a hash of it.

    Attributes:
        protocol: Its name.
        group: What is kept apart.
        data_set: Its name.
        classes: Their names in the order of their labels.
        data_options: Of the data set, as resolved.
        seeds: Of splits and training.
        folds: Their numbers.
        images: Hash of names and contents.
        splits: Fingerprint of who is where.
        on_damaged: What becomes of damaged images.
        pixels: How files become pixels.
        schedule: The budget.
        device_type: ``cpu`` or ``cuda``.
        precision: Of training steps.
        threads: CPU threads of a cell.
        limit: Images per class and side, or None for all.
    """

    protocol: str
    group: str | None
    data_set: str
    classes: list[str]
    data_options: dict[str, Any]
    seeds: list[int]
    folds: Annotated[list[Annotated[int, Field(ge=0, le=1000)]], Field(max_length=1000)]
    images: str
    splits: str
    on_damaged: str
    pixels: dict[str, Any]
    schedule: dict[str, Any]
    device_type: str
    precision: str
    threads: Count
    limit: Count | None


def _as_config(value: Any) -> RunConfig:
    if isinstance(value, RunConfig):
        return value
    if not isinstance(value, dict):
        raise ValueError("not a mapping")  # noqa: TRY004 - pydantic reports ValueErrors
    return parse_config(value, "the config in it")


class RunRecord(Record):
    """``run.json``.

    Attributes:
        schema_version: Of the run folder.
        name: Of the config.
        config: As resolved.
        data_set: What the data set is.
        strata: What tables have a column for, in their order.
        protocol: The protocol.
        leaks: Leaks that the config allows, in words.
        leaky: Whether tables are headed LEAKY.
        comparison: What decides the comparison.
        comparison_key: Its hash.
        former_comparison_keys: What versions before this one made of the same comparison; cells of theirs are kept.
        device: What the run was made on.
        versions: Of the libraries.
        plugins: The plugins that were installed and wanted; None in runs of earlier versions.
        git_commit: Of the working folder, with a plus where it had changes; None outside a repository.
    """

    schema_version: Count
    name: str
    config: Annotated[RunConfig, BeforeValidator(_as_config)]
    data_set: DataSetDescription
    strata: list[str]
    protocol: ProtocolRecord
    leaks: list[str]
    leaky: bool
    comparison: ComparisonRecord
    comparison_key: str
    former_comparison_keys: list[str] = Field(default_factory=list)
    device: dict[str, Any]
    versions: dict[str, str]
    plugins: list[str] | None = None
    git_commit: str | None


def _with_every_metric(metrics: dict[str, float | None]) -> dict[str, float | None]:
    if lacking := [name for name in METRIC_NAMES if name not in metrics]:
        raise ValueError(f"{lacking[0]} is not there")
    return metrics


Metrics = Annotated[dict[str, Fraction | None], AfterValidator(_with_every_metric)]


class ConvergenceRecord(Record):
    """When validation balanced accuracy reached its plateau (see :mod:`harness.evaluation.convergence`)."""

    epochs: Annotated[float, Field(ge=0, le=1e15)]
    images: Annotated[float, Field(ge=1, le=1e15)]
    train_seconds: Seconds
    plateau: Fraction | None = None


class TimingsRecord(Record):
    """Times of a cell, and the speeds of its model alone on the device.

    Attributes:
        fit_seconds: Wall time of ``fit``.
        predict_seconds: Wall time of classifying the test images.
        cell_seconds: Wall time of the cell.
        images_per_second_alone: Of training steps; None where it was not measured.
        features_per_second_alone: Of images that frozen layers turn into features; None where none are kept.
        predictions_per_second_alone: Of classifying.
        calibrated_readings: Of every reading of the speed of training steps, that speed times the seconds of the
            calibration workload beside it, sorted; none in records of earlier versions.
        calibration_seconds: Of the calibration workload, beside the speeds.
        calibration_version: Of the calibration workload.
        measured_in: The earlier run of the same study, by the name of its folder, in which the speeds alone, their
            readings and the calibration workload were measured; None where that was this run.
    """

    fit_seconds: Seconds
    predict_seconds: Seconds
    cell_seconds: Seconds
    images_per_second_alone: Speed | None
    features_per_second_alone: Speed | None = None
    predictions_per_second_alone: Speed | None = None
    calibrated_readings: list[Speed] = Field(default_factory=list, max_length=100)
    calibration_seconds: Speed | None
    calibration_version: Count
    measured_in: str | None = None


class StageRecord(Record):
    """What a stage before the data set itself has cost."""

    stage: str
    epoch: Count
    images_seen: Count
    train_seconds: Seconds


class ErrorRecord(Record):
    """Why a cell failed."""

    reason: str
    traceback: str = ""


class PluginRecord(Record):
    """Where a cell's model comes from.

    Attributes:
        model: Its name.
        distribution: Name and version of what was installed, or ``file``.
        files: sha256 of every file that the plugin's import brought in, by name.
    """

    model: str
    distribution: str
    files: dict[str, str] = Field(default_factory=dict)


class GivenRecord(Record):
    """What the config says of a model: the plugin's name, and the options that it sets."""

    plugin: str
    options: dict[str, Any]


class StartRecord(Record):
    """What a model starts from.

    Attributes:
        sources: Fingerprints of source sets, by name.
        files: sha256 of files of weights, by path.
    """

    sources: dict[str, str]
    files: dict[str, str]

    def part(self) -> dict[str, Any]:
        """Return what of it changes a cell's outcome: where a file lies does not."""
        return {"sources": self.sources, "files": list(self.files.values())}


def _with_shared_parts(parts: dict[str, str]) -> dict[str, str]:
    if lacking := [part for part in SHARED_PARTS if part not in parts]:
        raise ValueError(f"{lacking[0]} is not there")
    return parts


class ScoredRecord(Record):
    """Predictions that were made elsewhere.

    Attributes:
        file: Name of the file that held them.
        sha256: Of the file.
    """

    file: str
    sha256: str


class CellRecord(Record):
    """What every ``cell.json`` holds.

    Attributes:
        schema_version: Of the run folder.
        model: The label in the tables.
        plugin: Where the model comes from.
        given: What the config says of the model; None in records of earlier versions.
        options: As resolved.
        starts_from: What the model starts from; None in records of earlier versions.
        stratum: The table's column.
        fold: Its number.
        seed: Of splits and training.
        key: Hash of ``key_parts``.
        key_parts: Hashes of what would change the outcome.
        comparison_key: Of the run.
        device: What the cell ran on, and the name of the machine (``host``).
        concurrency: Cells at once.
        versions: Of the libraries.
        sha256: Checksum of the record itself (see :mod:`harness.store.checksums`); None before it is written.
    """

    schema_version: Count = SCHEMA_VERSION
    model: str
    plugin: PluginRecord
    given: GivenRecord | None = None
    options: dict[str, Any]
    starts_from: StartRecord | None = None
    stratum: Annotated[str, Field(min_length=1, max_length=100)]
    fold: Count
    seed: int
    key: str
    key_parts: Annotated[dict[str, str], AfterValidator(_with_shared_parts)]
    comparison_key: str
    device: dict[str, Any]
    concurrency: Count
    versions: dict[str, str]
    sha256: str | None = None

    @property
    def cell(self) -> Cell:
        """Which cell it is of."""
        return Cell(self.model, self.stratum, self.fold, self.seed)


class DoneRecord(CellRecord):
    """``cell.json`` of a finished cell; numbers of the model are those of :class:`~harness.ModelCard`.

    Attributes:
        state: ``done``.
        reproduces: The paper's name of the model, if it reproduces one.
        deviations: In what its options differ from the paper's network.
        is_shortcut: It looks at a property of the picture and at no tissue.
        metrics: Of the test images.
        validation_metrics: Of the validation images; None where predictions were made elsewhere.
        single_class: It calls every validation image the same; every test image where predictions were made elsewhere.
        execution_mode: How training steps were executed.
        epochs: Of the last stage.
        convergence: None where it did not converge.
        pretraining: The stages before, first stage first.
        timings: Times and speeds; None where predictions were made elsewhere.
        peak_memory_mb: Of the process, or of the device's memory on CUDA; None where predictions were made elsewhere.
        scored: Where predictions come from that were not made here; None for a model that was trained here.
    """

    state: Literal["done"]
    reproduces: str | None
    deviations: list[str]
    is_shortcut: bool
    metrics: Metrics
    validation_metrics: Metrics | None
    single_class: bool
    parameters: Count | None
    trainable_parameters: Count | None
    weights_bytes: Count | None
    checkpoint_bytes: Count | None
    forward_flop: Count | None
    execution_mode: str
    start_up_seconds: Seconds | None
    precision: str
    feature_images: Count | None
    provenance: list[str] = Field(default_factory=list)
    inspection: dict[str, dict[str, float]]
    epochs: Count
    convergence: ConvergenceRecord | None
    pretraining: list[StageRecord]
    timings: TimingsRecord | None
    error: None = None
    peak_memory_mb: Annotated[float, Field(ge=0, le=1e12)] | None
    scored: ScoredRecord | None = None


class FailedRecord(CellRecord):
    """``cell.json`` of a failed cell."""

    state: Literal["failed"]
    error: ErrorRecord
