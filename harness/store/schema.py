"""Typed records of a run folder's JSON files."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from harness.config.run_config import parse_config
from harness.errors import ConfigError, DataError

MAX_JSON_BYTES = 50_000_000
MAX_CELLS = 1_000_000

SHARED_PARTS = ("plugin", "options", "starts from", "training version")
"""Parts of a cell's key that all cells of a model have in common, unless some of them are stale."""

Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
Speed = Annotated[float, Field(ge=1e-9, le=1e12)]
Fraction = Annotated[float, Field(ge=0, le=1)]
K = TypeVar("K", bound="Record")


class Record(BaseModel):
    """A part of a JSON file; fields that nobody reads may hold anything."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Protocol(Record):
    name: str
    title: str
    cross_validates: bool
    shared_accessions: Count


class _Comparison(Record):
    folds: Annotated[list[Annotated[int, Field(ge=0, le=1000)]], Field(max_length=1000)]
    slide_13412: Literal["drop-dc", "drop-lc", "keep"]
    limit: Count | None


class RunRecord(Record):
    """What is read of ``run.json``."""

    config: dict[str, Any]
    protocol: _Protocol
    leaks: list[str]
    leaky: bool
    comparison: _Comparison
    comparison_key: str
    device: dict[str, Any]


class _Metrics(Record):
    p_img: Fraction | None
    p_arp_slide: Fraction | None
    balanced_accuracy: Fraction | None
    auc: Fraction | None


class _Convergence(Record):
    epochs: Annotated[float, Field(ge=0, le=1e15)]
    images: Annotated[float, Field(ge=1, le=1e15)]
    train_seconds: Seconds


class _Timings(Record):
    fit_seconds: Seconds
    cell_seconds: Seconds
    images_per_second_alone: Speed | None
    features_per_second_alone: Speed | None = None
    calibration_seconds: Speed | None


class _Stage(Record):
    train_seconds: Seconds


class _Error(Record):
    reason: str


def _with_shared_parts(parts: dict[str, str]) -> dict[str, str]:
    if lacking := [part for part in SHARED_PARTS if part not in parts]:
        raise ValueError(f"{lacking[0]} is not there")
    return parts


class _Plugin(Record):
    model: str
    distribution: str
    files: dict[str, str] = {}


class _Cell(Record):
    model: str
    plugin: _Plugin
    options: dict[str, Any]
    magnification: Literal[40, 100, 200, 400]
    fold: Count
    seed: int
    key_parts: Annotated[dict[str, str], AfterValidator(_with_shared_parts)]
    comparison_key: str
    versions: dict[str, str]
    schema_version: Count = 1


class DoneRecord(_Cell):
    """What is read of a finished cell's ``cell.json``."""

    state: Literal["done"]
    reproduces: str | None
    deviations: list[str] = []
    is_shortcut: bool = False
    inspection: dict[str, dict[str, float]] = {}
    provenance: list[str] = []
    feature_images: Count | None = None
    engine: str
    metrics: _Metrics
    validation_metrics: _Metrics
    single_class: bool
    parameters: Count | None
    trainable_parameters: Count | None
    weights_bytes: Count | None
    checkpoint_bytes: Count | None
    forward_flop: Count | None
    epochs: Count
    convergence: _Convergence | None
    pretraining: list[_Stage]
    timings: _Timings


class FailedRecord(_Cell):
    """What is read of a failed cell's ``cell.json``."""

    state: Literal["failed"]
    error: _Error


class ActiveRecord(Record):
    """What is read of a cell at work."""

    pid: Annotated[int, Field(ge=1, lt=1 << 31)]
    host: str
    epoch: Count
    harness_pid: Annotated[int, Field(ge=1, lt=1 << 31)]


def read_file(path: Path, limit: int) -> bytes | None:
    """Return a file's bytes, or None where there is none.

    Raises:
        DataError: It is no file, has more than ``limit`` bytes, or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path} is no file")
        if found.st_size > limit:
            raise DataError(f"{path} has {found.st_size:,} bytes; the harness writes no such file")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def parse_json(content: bytes, where: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: It is none.
    """
    try:
        value = json.loads(content.decode("utf-8"))
        if b"\\ud" in content.lower():
            json.dumps(value, ensure_ascii=False).encode()  # raises at half a character, which nothing could print
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {where}: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{where} does not hold what the harness writes there")
    return value


def check_record(value: dict[str, Any], kind: type[K], where: Path) -> dict[str, Any]:
    """Return ``value`` if what is read of it has the types that ``kind`` says.

    Raises:
        DataError: A field is missing or of another type; the first one is named.
    """
    try:
        kind.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])[:100]
        raise DataError(
            f"{where} does not hold what the harness writes there: '{key}': {fault['msg']} - delete what is damaged "
            "and run again, or get the folder anew"
        ) from None
    return value


def check_run(value: dict[str, Any], where: Path) -> dict[str, Any]:
    """Return a ``run.json`` if it is one, its config complete.

    Raises:
        DataError: It is none.
    """
    check_record(value, RunRecord, where)
    try:
        config = parse_config(value["config"], f"the config in {where}")
    except ConfigError as error:
        raise DataError(str(error)) from error
    axes = (config.models, config.seeds, config.magnifications, value["comparison"]["folds"])
    if math.prod(len(axis) for axis in axes) > MAX_CELLS:
        raise DataError(f"{where} plans more than {MAX_CELLS:,} cells")
    return {**value, "config": config.model_dump(mode="json")}


def check_cell(value: dict[str, Any], where: Path) -> dict[str, Any]:
    """Return a ``cell.json`` if it is one, of a finished or of a failed cell.

    Raises:
        DataError: It is none.
    """
    return check_record(value, FailedRecord if value.get("state") == "failed" else DoneRecord, where)
