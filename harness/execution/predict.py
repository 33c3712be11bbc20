"""Predictions of kept models for new images, computed in worker processes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.cache import Cache
from harness.errors import CellError, DataError
from harness.evaluation.threshold import choose_threshold
from harness.execution.cell_results import checked_probabilities, probability_columns, scored_columns
from harness.execution.kept_models import KeptRun
from harness.execution.new_images import CellRows, NewImages
from harness.execution.new_pixels import FoldColours, NewPixels
from harness.plugin_api.discovery import RegisteredModel
from harness.processes import adopt_orphans
from harness.protocol.names import VALIDATION
from harness.workers.messages import Answer, Failure, ImageRows, Predicted, PredictTask


def predict_images(run: KeptRun, images: NewImages, cells: Sequence[CellRows]) -> pd.DataFrame:
    """Classify images with every cell that is to, one cell after the other.

    Args:
        run: The run.
        images: All of them.
        cells: Of one model, each with its part of the images.

    Returns:
        One row an image and cell, indexed by the row of the image: ``cell``, a probability a class, and ``threshold``,
        the one chosen on the cell's own validation images; not a number for more than two classes.

    Raises:
        CellError: A cell could not predict; or the plugin of the model is not there, or is another.
        DataError: An image is damaged, or a cell's model or predictions are.
        EnvironmentMissingError: The device is not there.
    """
    device, label = run.torch_device(), cells[0].record.model
    models, missing = run.find_models([cells[0].record])
    if missing:
        raise CellError(f"{label}: {missing[label]}")
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="harness-predict-") as folder:
        colours = FoldColours(run.store, run.config, run.cache)
        pixels = NewPixels(images, run.config, colours, Cache(Path(folder), run.cache.note))
        run.cache.note(f"{label} predicts {len(images.table)} images, {len(cells)} cells")
        predictor = _Predictor(run, models[label], pixels, device)
        return pd.concat([predictor.predict(one) for one in cells])


class _Predictor:
    """Has cells predict.

    Args:
        run: The run.
        model: The cells' model and its plugin.
        pixels: The decoded images.
        device: As torch names it.
    """

    def __init__(self, run: KeptRun, model: RegisteredModel, pixels: NewPixels, device: str) -> None:
        self._run, self._model, self._pixels, self._device = run, model, pixels, device
        self._classes = run.classes

    def predict(self, one: CellRows) -> pd.DataFrame:
        """Return what one cell says of its images; see :func:`predict_images`."""
        cell = one.record.cell
        answer = self._answer(one)
        if isinstance(answer, Failure):
            raise CellError(f"{cell.label if answer.cause == 'certain' else cell.name}: {answer.reason}")
        if not isinstance(answer, Predicted):  # it comes from a process in which a plugin ran
            raise CellError(f"{cell.name}: unexpected answer: {type(answer).__name__}")
        try:
            probabilities = checked_probabilities(answer.probabilities, len(one.images), len(self._classes))
        except CellError as error:
            raise CellError(f"{cell.name}: {error}") from error
        said = pd.DataFrame(probabilities, index=one.images.index, columns=probability_columns(self._classes))
        return said.assign(cell=cell.name, threshold=self._threshold(cell.name))

    def _answer(self, one: CellRows) -> Answer:
        cell = one.record.cell
        pixels = self._pixels.store(cell.seed, cell.fold)
        images = ImageRows(pixels.array_file, pixels.rows_of(one.images["sha256"]))
        job = self._run.job(one.record, self._device, pixels.folder.name)
        try:
            return self._run.ask(self._model, one.record, lambda saved: PredictTask(job, cell.seed, saved, images))
        except DataError as error:
            raise DataError(f"{cell.name}: {error}") from error

    def _threshold(self, cell: str) -> float:
        if len(self._classes) != 2:
            return math.nan
        predictions = scored_columns(self._run.store.read_predictions([cell], self._classes), self._classes)
        return choose_threshold(predictions[predictions["side"] == VALIDATION])
