"""Results of a cell from a worker's answer: predictions, history, record."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.errors import CellError, DataError
from harness.evaluation.cell_metrics import measure
from harness.evaluation.convergence import find_convergence
from harness.evaluation.threshold import DEFAULT_THRESHOLD
from harness.planning.models import ModelEntry
from harness.plugin_api.model import EpochReport
from harness.plugin_api.schedule import FINAL_STAGE
from harness.protocol.names import TEST, VALIDATION
from harness.store.active import EpochRecord
from harness.store.cells import Cell
from harness.store.record import Record, make_record
from harness.store.schema import DoneRecord
from harness.workers.messages import Fitted

_TOLERANCE = 1e-3
HISTORY_COLUMNS = tuple(EpochReport.__dataclass_fields__)
_OF_IMAGE = ("group", "subgroup", "subtype", "stratum")


def prediction_table(
    cell: Cell, validation: pd.DataFrame, test: pd.DataFrame, fitted: Fitted, classes: Sequence[str]
) -> pd.DataFrame:
    """Put names and labels back to a worker's probabilities.

    Args:
        cell: The cell.
        validation: Its validation images, in the order that the worker saw.
        test: Its test images, in the order that the worker saw.
        fitted: The worker's answer.
        classes: Their names in the order of the labels.

    Returns:
        One row a validation and test image: ``side image group subgroup subtype stratum model fold seed label
        predicted`` and ``p_<class>`` of each class, sorted by side and image.

    Raises:
        CellError: The worker's numbers are no probabilities of these images.
    """
    sides = sorted([(VALIDATION, validation, fitted.validation), (TEST, test, fitted.test)], key=lambda side: side[0])
    return pd.concat([prediction_side(cell, *side, classes) for side in sides], ignore_index=True)


def prediction_side(
    cell: Cell, side: str, images: pd.DataFrame, probabilities: NDArray[np.float64], classes: Sequence[str]
) -> pd.DataFrame:
    """Put names and labels to the probabilities of one side, sorted by image; see :func:`prediction_table`.

    Args:
        cell: The cell.
        side: Its name.
        images: Its images.
        probabilities: float64 (n, classes), in the order of the images.
        classes: Their names in the order of the labels.

    Raises:
        CellError: They are no probabilities of these images.
    """
    probabilities = checked_probabilities(probabilities, len(images), len(classes))
    order = images["name"].to_numpy(str).argsort()
    of_image = {name: images[name].array.take(order) for name in _OF_IMAGE}
    table = {  # made in one go, which takes a third of the time
        "side": side,
        "image": images["name"].array.take(order),
        **of_image,
        "model": cell.label,
        "fold": cell.fold,
        "seed": cell.seed,
        "label": images["label"].array.take(order),
        "predicted": called(probabilities)[order],
        **dict(zip(probability_columns(classes), probabilities[order].T, strict=True)),
    }
    return pd.DataFrame(table, index=range(len(order)))


def history_table(epochs: list[EpochReport]) -> pd.DataFrame:
    """Return one row an epoch, in order."""
    return pd.DataFrame([asdict(epoch) for epoch in epochs], columns=list(HISTORY_COLUMNS))


def epoch_record(epoch: EpochReport) -> EpochRecord:
    """Return an epoch for the note of a cell at work."""
    values = {name: value for name, value in asdict(epoch).items() if name in EpochRecord.model_fields}
    finite = {name: value for name, value in values.items() if not isinstance(value, float) or math.isfinite(value)}
    return EpochRecord(**{**dict.fromkeys(values), **finite})


def reported_speed(epochs: list[EpochReport]) -> float | None:
    """Return the images a second of the last stage, as a model has reported them; None where it tells none."""
    last = epochs[-1] if epochs else None
    if last is None or last.stage != FINAL_STAGE or not (last.images_seen > 0 and 0 < last.train_seconds < math.inf):
        return None
    return last.images_seen / last.train_seconds


def findings(
    entry: ModelEntry, fitted: Fitted, predictions: pd.DataFrame, history: pd.DataFrame, classes: Sequence[str]
) -> dict[str, Any]:
    """Return what is found out of a cell: its record but for identity, key and the speeds measured alone."""
    predictions = scored_columns(predictions, classes)
    test, validation = (predictions[predictions["side"] == side] for side in (TEST, VALIDATION))
    single_class = bool((validation["predicted"] == validation["predicted"].iloc[0]).all())
    stages = history[history["stage"] != FINAL_STAGE].drop_duplicates("stage", keep="last")
    final = history[history["stage"] == FINAL_STAGE]
    convergence = find_convergence(final, single_class=single_class, chance=1 / len(classes))
    return {
        "reproduces": entry.registered.model.reproduces,
        "deviations": entry.deviations(),
        "is_shortcut": entry.registered.model.is_shortcut,
        "metrics": measure(test),
        "validation_metrics": measure(validation),
        "single_class": single_class,
        **asdict(fitted.card),
        "epochs": int((history["stage"] == FINAL_STAGE).sum()),
        "convergence": asdict(convergence) if convergence else None,
        "pretraining": stages[["stage", "epoch", "images_seen", "train_seconds"]].to_dict("records"),
        "timings": {"fit_seconds": fitted.fit_seconds, "predict_seconds": fitted.predict_seconds},
        "peak_memory_mb": fitted.peak_memory_bytes / 1e6,
    }


def done_record(values: dict[str, Any]) -> DoneRecord:
    """Return the record of a finished cell.

    Raises:
        CellError: The model has reported something that could not be read again.
    """
    try:
        # as it will be read again: tuples are lists then
        return make_record(DoneRecord, json.loads(json.dumps(values, default=_plain)), "cell.json")
    except DataError as error:
        raise CellError(f"what the model has reported cannot be stored: {error}") from error


def _plain(value: Any) -> Any:
    return value.to_json() if isinstance(value, Record) else str(value)


def called(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the class of each row: of two the second from 0.5 on, as at any other threshold."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= DEFAULT_THRESHOLD).astype(np.int64)
    highest: NDArray[np.int64] = probabilities.argmax(1)
    return highest


def checked_probabilities(probabilities: NDArray[np.float64], n: int, n_classes: int) -> NDArray[np.float64]:
    """Return a model's probabilities as they are kept, float64 (n, classes), each from 0 to 1.

    Raises:
        CellError: They are no probabilities of so many images.
    """
    if probabilities.shape != (n, n_classes):
        raise CellError(f"predict_proba returned shape {probabilities.shape} for {n} images and {n_classes} classes")
    if not np.isfinite(probabilities).all():
        raise CellError("predict_proba returned values that are not finite")
    if (probabilities < -_TOLERANCE).any() or (abs(probabilities.sum(1) - 1) > _TOLERANCE).any():
        raise CellError("predict_proba returned rows that are no probabilities: each must sum to 1, none be negative")
    return probabilities.clip(0, 1)  # float32 rounds a probability of one to a little more


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Return the columns of the classes' probabilities."""
    return [f"p_{name}" for name in classes]


def scored_columns(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return predictions with probabilities named by the numbers of their classes, as metrics take them."""
    return predictions.rename(columns={f"p_{name}": f"p_{label}" for label, name in enumerate(classes)})
