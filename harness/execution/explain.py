"""Overlays of kept models: computed in worker processes, written into the run folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.io import encode_png

from harness.errors import DataError
from harness.execution.kept_models import KeptRun
from harness.planning.decoded_run import decoded_as_run
from harness.planning.fold_pixels import DecodedRun
from harness.planning.splits import Division
from harness.plugin_api.discovery import RegisteredModel
from harness.processes import adopt_orphans
from harness.store.cells import Cell
from harness.store.explanations import ExplanationRecord, missing_explanations, write_explanations
from harness.store.schema import DoneRecord
from harness.training.grad_cam import captum_version
from harness.workers.messages import Answer, Explained, ExplainTask, Failure, ImageRows, NotExplained


@dataclass(frozen=True)
class CellImages:
    """A finished cell, and the names of test images that its model is to explain."""

    record: DoneRecord
    images: Sequence[str]

    @property
    def cell(self) -> Cell:
        """The cell."""
        return self.record.cell


@dataclass
class Explanations:
    """What became of the overlays that were asked for.

    Attributes:
        computed: Overlays computed now.
        kept: Overlays that were there.
        skipped: Why there are none of a model although nothing has failed, by label.
        failures: Why there are none, by the cell's name; by label where it concerns all cells of a model.
    """

    computed: int = 0
    kept: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def explain_images(run: KeptRun, wanted: Iterable[CellImages]) -> Explanations:
    """Compute the overlays that are not there, model by model.

    Args:
        run: The run.
        wanted: Its cells and images.

    Returns:
        How it ended. A model that fails is named, and raises nothing.

    Raises:
        EnvironmentMissingError: captum or the device is not there.
        DataError: The images are not there, or are not the run's.
    """
    asked = list(wanted)
    lacking = [rest for one in asked if (rest := _without_kept(run, one)).images]
    outcome = Explanations(kept=_count(asked) - _count(lacking))
    if not lacking:
        return outcome
    captum_version()
    explainer = _Explainer(run, run.torch_device(), outcome)
    adopt_orphans()
    models, outcome.failures = run.find_models(one.record for one in lacking)
    for label, model in models.items():
        explainer.explain(model, [one for one in lacking if one.cell.label == label])
    return outcome


def _without_kept(run: KeptRun, one: CellImages) -> CellImages:
    missing = missing_explanations(run.store.folder, one.cell.name, one.record.key, one.images)
    return replace(one, images=missing)


def _count(cells: Iterable[CellImages]) -> int:
    return sum(len(one.images) for one in cells)


class _Explainer:
    """Has overlays computed, and writes them.

    Args:
        run: The run.
        device: As torch names it.
        outcome: What becomes of them.
    """

    def __init__(self, run: KeptRun, device: str, outcome: Explanations) -> None:
        self._run, self._device, self._outcome = run, device, outcome

    def explain(self, model: RegisteredModel, cells: Sequence[CellImages]) -> None:
        """Explain the cells of one model, until it turns out that none can be."""
        label = cells[0].cell.label
        self._run.cache.note(f"explaining {label}, {_count(cells)} images")
        for one in cells:
            answer = self._checked(self._answer(model, one), one)
            match answer:
                case Explained():
                    self._write(one, answer)
                case NotExplained(reason):
                    self._outcome.skipped[label] = reason
                    return
                case Failure(reason, cause="certain"):
                    self._outcome.failures[label] = reason
                    return
                case Failure(reason):
                    self._outcome.failures[one.cell.name] = reason

    def _answer(self, model: RegisteredModel, one: CellImages) -> Answer:
        images, cell = self._rows(one), one.cell
        job = self._run.job(one.record, self._device, self._images[1].pixel_key(cell.seed, cell.fold))
        try:
            return self._run.ask(model, one.record, lambda saved: ExplainTask(job, saved, images))
        except DataError as error:
            return Failure(str(error))

    def _rows(self, one: CellImages) -> ImageRows:
        division, decoded = self._images
        files = division.images.set_index("name").loc[list(one.images)]
        return decoded.rows(one.cell.seed, one.cell.fold, files)

    @cached_property
    def _images(self) -> tuple[Division, DecodedRun]:
        """The images of the run, decoded as they were for it: on sides that the run has written down."""
        store = self._run.store
        return decoded_as_run(self._run.config, store.read_manifest(), store.read_splits(), self._run.cache)

    def _checked(self, answer: Answer, one: CellImages) -> Explained | NotExplained | Failure:
        """Take nothing for an answer that is none: it comes from a process in which a plugin ran."""
        size = self._run.config.pixels.size
        if isinstance(answer, Explained) and answer.maps.shape != (len(one.images), size, size):
            return Failure(f"maps of shape {answer.maps.shape} for {len(one.images)} images of {size} pixels")
        if not isinstance(answer, Explained | NotExplained | Failure):
            return Failure(f"unexpected answer: {type(answer).__name__}")
        return answer

    def _write(self, one: CellImages, answer: Explained) -> None:
        pictures = {name: _png(grey) for name, grey in zip(one.images, answer.maps, strict=True)}
        record = ExplanationRecord(key=one.record.key, how=dict(answer.how))
        write_explanations(self._run.store.folder, one.cell.name, record, pictures)
        self._outcome.computed += len(pictures)


def _png(grey: NDArray[np.uint8]) -> bytes:
    """Encode uint8 (S, S)."""
    encoded: bytes = encode_png(torch.from_numpy(grey)[None]).numpy().tobytes()
    return encoded
