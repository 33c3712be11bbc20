"""Predictions of kept models for new images, computed in worker processes."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.names import CLASSES
from harness.data.pixels import PixelStore
from harness.errors import CellError, DataError, PluginError, UsageError
from harness.evaluation.threshold import choose_threshold
from harness.execution.cell_results import checked_probabilities
from harness.execution.new_images import CellRows, NewImages
from harness.execution.new_pixels import FoldColours, NewPixels
from harness.plugin_api.discovery import RegisteredModel, discover
from harness.plugin_api.source_hash import source_hash
from harness.processes import adopt_orphans, uninterrupted
from harness.protocol.names import VALIDATION
from harness.store.cells import slug
from harness.store.run_store import RunStore
from harness.store.saved_models import copied_model
from harness.store.schema import DoneRecord
from harness.training.auto import EAGER
from harness.training.devices import list_devices, resolve_device
from harness.workers.handle import WorkerHandle, ask
from harness.workers.messages import Answer, Failure, ImageRows, ModelJob, Predicted, PredictTask

PROBABILITIES = [f"p_{name}" for name in CLASSES]


@dataclass(frozen=True)
class RunToPredict:
    """A run, and with what its models predict.

    Attributes:
        store: The run's folder.
        config: The run's, with the folder of the images as it is now.
        cache: The cache; its note is told what a person should know.
        plugins: Plugin files.
        device: ``auto``, ``cpu`` or ``cuda[:N]``.
    """

    store: RunStore
    config: RunConfig
    cache: Cache
    plugins: Sequence[Path] = ()
    device: str = "auto"


def predict_images(run: RunToPredict, images: NewImages, cells: Sequence[CellRows]) -> pd.DataFrame:
    """Classify images with every cell that is to, one cell after the other.

    Args:
        run: The run.
        images: All of them.
        cells: Of one model, each with its part of the images.

    Returns:
        One row an image and cell, indexed by the row of the image: ``cell``, a probability a class, and ``threshold``,
        the one chosen on the cell's own validation images.

    Raises:
        CellError: A cell could not predict; or the plugin of the model is not there, or is another.
        DataError: An image is damaged, or a cell's model or predictions are.
        EnvironmentMissingError: The device is not there.
    """
    device = list_devices(resolve_device(run.device))[0]
    model = _find_model(run, cells[0].record)
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="harness-predict-") as folder:
        colours = FoldColours(run.store, run.config, run.cache)
        pixels = NewPixels(images, run.config, colours, Cache(Path(folder), run.cache.note))
        run.cache.note(f"{cells[0].record.model} predicts {len(images.table)} images, {len(cells)} cells")
        predictor = _Predictor(run, model, pixels, device)
        return pd.concat([predictor.predict(one) for one in cells])


def _find_model(run: RunToPredict, record: DoneRecord) -> RegisteredModel:
    host = discover(run.plugins)
    for trouble in host.troubles():
        run.cache.note(trouble)
    try:
        return host.find(run.config.model_of(record.model)[0])
    except (PluginError, UsageError) as error:
        hint = " - say where its file is with --plugin" if record.plugin.distribution == "file" else ""
        raise CellError(f"{record.model}: {error}{hint}") from error


class _Predictor:
    """Has cells predict.

    Args:
        run: The run.
        model: The cells' model and its plugin.
        pixels: The decoded images.
        device: As torch names it.
    """

    def __init__(self, run: RunToPredict, model: RegisteredModel, pixels: NewPixels, device: str) -> None:
        self._run, self._model, self._pixels, self._device = run, model, pixels, device

    def predict(self, one: CellRows) -> pd.DataFrame:
        """Return what one cell says of its images; see :func:`predict_images`."""
        cell = one.record.cell
        answer = self._answer(one)
        if isinstance(answer, Failure):
            raise CellError(f"{cell.label if answer.cause == 'certain' else cell.name}: {answer.reason}")
        if not isinstance(answer, Predicted):  # it comes from a process in which a plugin ran
            raise CellError(f"{cell.name}: unexpected answer: {type(answer).__name__}")
        try:
            probabilities = checked_probabilities(answer.probabilities, len(one.images))
        except CellError as error:
            raise CellError(f"{cell.name}: {error}") from error
        said = pd.DataFrame(probabilities, index=one.images.index, columns=PROBABILITIES)
        return said.assign(cell=cell.name, threshold=self._threshold(cell.name))

    def _answer(self, one: CellRows) -> Answer:
        cell = one.record.cell
        pixels = self._pixels.store(cell.seed, cell.fold)
        images = ImageRows(pixels.array_file, pixels.rows_of(one.images["sha256"]))
        with contextlib.ExitStack() as stack:
            try:
                saved = stack.enter_context(copied_model(self._run.store.folder / "cells" / cell.name))
            except DataError as error:
                raise DataError(f"{cell.name}: {error}") from error
            with uninterrupted():
                worker = WorkerHandle(cell.label, self._model, self._run.store.log_file(slug(cell.label)))
            task = PredictTask(self._job(one.record, pixels), cell.seed, saved, images)
            return ask(worker, task, self._run.cache.note, self._run.config.cell_seconds)

    def _job(self, record: DoneRecord, pixels: PixelStore) -> ModelJob:
        config = self._run.config
        return ModelJob(
            options=record.options,
            classes=CLASSES,
            size=config.pixels.size,
            device=self._device,
            threads=config.threads,
            schedule=config.schedule.budget(),
            sources={},
            cache=self._run.cache.folder,
            code=source_hash(record.plugin.files),
            pixels=pixels.folder.name,
            execution_mode=EAGER,
        )

    def _threshold(self, cell: str) -> float:
        predictions = self._run.store.read_predictions([cell])
        return choose_threshold(predictions[predictions["side"] == VALIDATION])
