"""Overlays of kept models: computed in worker processes, written into the run folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.io import encode_png

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.names import CLASSES
from harness.errors import DataError, PluginError, UsageError
from harness.planning.decoded_run import decoded_as_run
from harness.planning.fold_pixels import DecodedRun
from harness.planning.splits import Division
from harness.plugin_api.discovery import RegisteredModel, discover
from harness.plugin_api.source_hash import source_hash
from harness.processes import adopt_orphans, uninterrupted
from harness.store.cells import Cell, slug
from harness.store.explanations import ExplanationRecord, missing_explanations, write_explanations
from harness.store.run_store import RunStore
from harness.store.saved_models import copied_model
from harness.store.schema import DoneRecord
from harness.training.auto import EAGER
from harness.training.devices import list_devices, resolve_device
from harness.training.grad_cam import captum_version
from harness.workers.handle import WorkerHandle, ask
from harness.workers.messages import Answer, Explained, ExplainTask, Failure, ImageRows, ModelJob, NotExplained


@dataclass(frozen=True)
class RunToExplain:
    """A run, and with what its models are explained.

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


def explain_images(run: RunToExplain, wanted: Iterable[CellImages]) -> Explanations:
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
    explainer = _Explainer(run, list_devices(resolve_device(run.device))[0], outcome)
    adopt_orphans()
    for label, model in _find_models(run, lacking, outcome).items():
        explainer.explain(model, [one for one in lacking if one.cell.label == label])
    return outcome


def _without_kept(run: RunToExplain, one: CellImages) -> CellImages:
    missing = missing_explanations(run.store.folder, one.cell.name, one.record.key, one.images)
    return replace(one, images=missing)


def _count(cells: Iterable[CellImages]) -> int:
    return sum(len(one.images) for one in cells)


def _find_models(run: RunToExplain, cells: Iterable[CellImages], outcome: Explanations) -> dict[str, RegisteredModel]:
    """Return the models of these cells by label; those whose plugin is not there become failures."""
    host, found = discover(run.plugins), {}
    for trouble in host.troubles():
        run.cache.note(trouble)
    for label, record in {one.cell.label: one.record for one in cells}.items():
        try:
            found[label] = host.find(run.config.model_of(label)[0])
        except (PluginError, UsageError) as error:
            hint = " - say where its file is with --plugin" if record.plugin.distribution == "file" else ""
            outcome.failures[label] = f"{error}{hint}"
    return found


class _Explainer:
    """Has overlays computed, and writes them.

    Args:
        run: The run.
        device: As torch names it.
        outcome: What becomes of them.
    """

    def __init__(self, run: RunToExplain, device: str, outcome: Explanations) -> None:
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
        images = self._rows(one)
        try:
            with copied_model(self._run.store.folder / "cells" / one.cell.name) as saved:
                with uninterrupted():
                    worker = WorkerHandle(one.cell.label, model, self._run.store.log_file(slug(one.cell.label)))
                task = ExplainTask(self._job(one.record), saved, images)
                return ask(worker, task, self._run.cache.note, self._run.config.cell_seconds)
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

    def _job(self, record: DoneRecord) -> ModelJob:
        config, cell = self._run.config, record.cell
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
            pixels=self._images[1].pixel_key(cell.seed, cell.fold),
            execution_mode=EAGER,
        )

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
