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
from harness.data.description import DataSetDescription
from harness.errors import UsageError, did_you_mean
from harness.execution.cell_results import called, probability_columns
from harness.execution.kept_models import KeptRun
from harness.execution.new_images import NewImages, assign_cells, find_new_images, known_patients_note
from harness.execution.predict import predict_images
from harness.locations import cache_folder
from harness.planning.observer import Observer
from harness.store.checksums import RECORD
from harness.store.run_store import RunStore
from harness.store.schema import DoneRecord, RunRecord


class PredictOptions(TypedDict, total=False):
    """Keyword arguments of :func:`predict`.

    Attributes:
        model: Label of the model; needed where several can predict.
        stratum: Of images of which the data set does not know it, such as ``200x``; needed where the run has several.
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
            class (``p_<class>``), ``called`` (the class at 0.5, of more than two the most probable one) and ``cells``
            (how many). Of two classes also ``share_<positive class>``: of the cells, those that call it that at the
            threshold of their own validation images.
        groups: One row a group, in the order of their first images: ``group images``, the mean of their probabilities
            and ``called``; of two classes also ``threshold`` (the mean of the cells') and ``called_at_threshold``.
        by_cell: One row an image and cell: ``image cell``, the probabilities, and of two classes ``threshold``.
    """

    model: str
    images: pd.DataFrame
    groups: pd.DataFrame
    by_cell: pd.DataFrame


def predict(
    run: Path | str, images: Sequence[Path | str], note: Note | None = None, **options: Unpack[PredictOptions]
) -> ImagePredictions:
    """Classify new images with a kept model: the mean over its cells, folds and seeds.

    An image that the data set knows by its name goes to the cells of its own stratum. An image of the run is classified
    only by cells that tested it. On systems that start processes anew a script that calls this needs the usual
    ``__main__`` guard.

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
    found = find_new_images([Path(image) for image in images], record.config.data, strata, options.get("stratum"))
    assigned = assign_cells(found, cells, manifest, store.read_splits())
    for message in (
        *found.notes,
        known_patients_note(found, manifest, record.data_set),
        _missing_note(record, cells, only),
    ):
        if message:
            tell(message)
    how = _how(store, record.config, options, tell)
    return _summary(cells[0].model, found, predict_images(how, found, assigned), record.data_set)


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


def _summary(label: str, images: NewImages, said: pd.DataFrame, data_set: DataSetDescription) -> ImagePredictions:
    """Take the means of what cells say, from rows as :func:`predict_images` returns them."""
    probabilities = probability_columns(data_set.classes)
    share, of_two = f"share_{data_set.positive}", ["threshold"] if data_set.is_binary else []
    positive = (said[probabilities[1]] >= said["threshold"]).astype(float)
    by_image = said.assign(**{share: positive}).groupby(level=0)
    table = images.table[["image", "group"]].join(by_image[[*probabilities, "threshold", share]].mean())
    table = table.assign(cells=by_image.size(), called=_called(table, data_set))
    by_cell = said.sort_index(kind="stable").join(images.table["image"])
    shown = ["image", "group", *probabilities, "called", *([share] if data_set.is_binary else []), "cells"]
    return ImagePredictions(
        label,
        table[shown],
        _by_group(table, data_set),
        by_cell[["image", "cell", *probabilities, *of_two]].reset_index(drop=True),
    )


def _by_group(table: pd.DataFrame, data_set: DataSetDescription) -> pd.DataFrame:
    probabilities = probability_columns(data_set.classes)
    grouped = table.groupby("group", sort=False)
    groups = grouped[[*probabilities, "threshold"]].mean().assign(images=grouped.size()).reset_index()
    groups["called"] = _called(groups, data_set)
    shown = ["group", "images", *probabilities, "called"]
    if not data_set.is_binary:
        return groups[shown]
    above = groups[probabilities[1]] >= groups["threshold"]
    groups["called_at_threshold"] = np.where(above, data_set.classes[1], data_set.classes[0])
    return groups[[*shown, "threshold", "called_at_threshold"]]


def _called(table: pd.DataFrame, data_set: DataSetDescription) -> NDArray[Any]:
    """Name the class of each row by its probabilities."""
    labels = called(table[probability_columns(data_set.classes)].to_numpy(float))
    return np.array(data_set.classes, dtype=object)[labels]
