"""Predictions of a kept model for new images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.cache import Cache, Note
from harness.config.run_config import RunConfig
from harness.data.names import CLASSES
from harness.errors import UsageError, did_you_mean
from harness.evaluation.threshold import DEFAULT_THRESHOLD
from harness.execution.kept_models import KeptRun
from harness.execution.new_images import NewImages, assign_cells, find_new_images, known_patients_note
from harness.execution.predict import PROBABILITIES, predict_images
from harness.locations import cache_folder
from harness.planning.observer import Observer
from harness.store.checksums import RECORD
from harness.store.run_store import RunStore
from harness.store.schema import DoneRecord, RunRecord


class PredictOptions(TypedDict, total=False):
    """Keyword arguments of :func:`predict`.

    Attributes:
        model: Label of the model; needed where several can predict.
        stratum: Of images whose names do not say it, such as ``200x``; needed where the run has several.
        device: ``auto``, ``cpu`` or ``cuda[:N]``; ``auto`` by default.
        plugins: Plugin files, if the model comes from one.
        data: Folder of the run's images, if they have moved; they are needed only where colours depend on them.
    """

    model: str | None
    stratum: str | None
    device: str | None
    plugins: Sequence[Path]
    data: Path | str | None


@dataclass(frozen=True)
class ImagePredictions:
    """What a model says of images.

    Attributes:
        model: Its label.
        images: One row an image, in the order given: ``image group``, the mean probability over the cells for each
            class (``p_benign p_malignant``), ``called`` (the class at 0.5), ``share_malignant`` (of the cells, those
            that call it malignant at the threshold of their own validation images), ``cells`` (how many).
        groups: One row a group, in the order of their first images: ``group images``, the mean of their probabilities,
            ``called`` at 0.5, ``threshold`` (the mean of the cells') and ``called_at_threshold``.
        by_cell: One row an image and cell: ``image cell``, the probabilities, ``threshold``.
    """

    model: str
    images: pd.DataFrame
    groups: pd.DataFrame
    by_cell: pd.DataFrame


def predict(
    run: Path | str, images: Sequence[Path | str], note: Note | None = None, **options: Unpack[PredictOptions]
) -> ImagePredictions:
    """Classify new images with a kept model: the mean over its cells, folds and seeds.

    An image with an official name goes to the cells of its own magnification. An image of the run is classified only by
    cells that tested it. On systems that start processes anew a script that calls this needs the usual ``__main__``
    guard.

    Args:
        run: The run folder, or the folder of one of its cells.
        images: Files, and folders that hold them.
        note: Is told what a person should know.
        **options: See :class:`PredictOptions`.

    Raises:
        UsageError: It is not said which model or stratum, or there is none like that; or an image is the run's and no
            cell has tested it.
        DataError: There is no run, an image is missing or damaged, or a model is.
        CellError: A cell could not predict, or its plugin is missing or changed.
        EnvironmentMissingError: The device is not there.
    """
    folder, only = _run_and_cell(Path(run).absolute())
    store, tell = RunStore(folder), note or Observer().note
    record, manifest = store.require_run(), store.read_manifest()
    cells = _chosen_cells(record, store.read_done(), only, options.get("model"))
    strata = [stratum for stratum in record.strata if stratum in {one.stratum for one in cells}]
    found = find_new_images([Path(image) for image in images], strata, options.get("stratum"))
    assigned = assign_cells(found, cells, manifest, store.read_splits())
    for message in (*found.notes, known_patients_note(found, manifest), _missing_note(record, cells, only)):
        if message:
            tell(message)
    how = _how(store, record.config, options, tell)
    return _summary(cells[0].model, found, predict_images(how, found, assigned))


def _run_and_cell(folder: Path) -> tuple[Path, str | None]:
    """Tell a cell's folder from a run's."""
    if folder.parent.name == "cells" and (folder / RECORD).is_file():
        return folder.parent.parent, folder.name
    return folder, None


def _chosen_cells(
    run: RunRecord, done: dict[str, DoneRecord], only: str | None, wanted: str | None
) -> list[DoneRecord]:
    """Return the finished cells of the one model that is asked, of a run or the one of a cell's folder."""
    label = _choose_model(_offered(run, done, only), done, wanted)
    return [one for name, one in done.items() if one.model == label and only in {None, name}]


def _offered(run: RunRecord, done: dict[str, DoneRecord], only: str | None) -> list[str]:
    """List the models with finished cells, in the order of the config.

    Raises:
        UsageError: There is none, or the one cell that is asked has failed.
    """
    if only is not None and only not in done:
        raise UsageError(f"the cell {only} has failed, and kept no model")
    found = {one.model for name, one in done.items() if only in {None, name}}
    labels = [label for label in run.config.models if label in found]
    if not labels:
        raise UsageError("no finished cell yet - 'harness status' says what is going on")
    return labels


def _choose_model(labels: list[str], done: dict[str, DoneRecord], wanted: str | None) -> str:
    scored = {one.model for one in done.values() if one.scored is not None}
    able = [label for label in labels if label not in scored]
    if wanted in scored or not able:
        raise UsageError(
            f"{wanted or ', '.join(labels)}: its predictions were made elsewhere, and there is no model here"
        )
    if wanted is not None and wanted not in able:
        near = did_you_mean(wanted, able)
        raise UsageError(f"no finished cell of a model '{wanted}'{near} (there are cells of {', '.join(able)})")
    if wanted is None and len(able) > 1:
        raise UsageError(f"several models can predict: {', '.join(able)} - choose with --model")
    return wanted or able[0]


def _missing_note(run: RunRecord, cells: Sequence[DoneRecord], only: str | None) -> str | None:
    planned = len(run.config.seeds) * len(run.comparison.folds) * len(run.strata)
    if only is not None or len(cells) >= planned:
        return None
    return (
        f"{planned - len(cells)} of {planned} cells of {cells[0].model} are not finished; the mean is over the others"
    )


def _how(store: RunStore, config: RunConfig, options: PredictOptions, note: Note) -> KeptRun:
    config = config.with_data_folder(options.get("data"))
    plugins = tuple(Path(plugin).absolute() for plugin in options.get("plugins", ()))
    return KeptRun(store, config, Cache(cache_folder(), note), plugins, options.get("device") or "auto")


def _summary(label: str, images: NewImages, said: pd.DataFrame) -> ImagePredictions:
    """Take the means of what cells say, from rows as :func:`predict_images` returns them."""
    malignant = (said[PROBABILITIES[1]] >= said["threshold"]).astype(float)
    by_image = said.assign(share_malignant=malignant).groupby(level=0)
    columns = [*PROBABILITIES, "threshold", "share_malignant"]
    table = images.table[["image", "group"]].join(by_image[columns].mean()).assign(cells=by_image.size())
    table["called"] = _called(table[PROBABILITIES[1]], DEFAULT_THRESHOLD)
    by_cell = said.sort_index(kind="stable").join(images.table["image"])
    return ImagePredictions(
        label,
        table[["image", "group", *PROBABILITIES, "called", "share_malignant", "cells"]],
        _by_group(table),
        by_cell[["image", "cell", *PROBABILITIES, "threshold"]].reset_index(drop=True),
    )


def _by_group(table: pd.DataFrame) -> pd.DataFrame:
    grouped = table.groupby("group", sort=False)
    groups = grouped[[*PROBABILITIES, "threshold"]].mean().assign(images=grouped.size()).reset_index()
    scores = groups[PROBABILITIES[1]]
    groups["called"] = _called(scores, DEFAULT_THRESHOLD)
    groups["called_at_threshold"] = _called(scores, groups["threshold"])
    return groups[["group", "images", *PROBABILITIES, "called", "threshold", "called_at_threshold"]]


def _called(scores: pd.Series[float], threshold: pd.Series[float] | float) -> NDArray[Any]:
    """Name the class of each score at a threshold, of two classes the second from the threshold on."""
    return np.where(scores >= threshold, CLASSES[1], CLASSES[0])
