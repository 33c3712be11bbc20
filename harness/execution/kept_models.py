"""Kept models of a run, put to work again in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.errors import PluginError, UsageError
from harness.plugin_api.discovery import RegisteredModel, discover
from harness.plugin_api.source_hash import source_hash
from harness.processes import uninterrupted
from harness.store.cells import slug
from harness.store.run_store import RunStore
from harness.store.saved_models import copied_model
from harness.store.schema import DoneRecord
from harness.training.auto import EAGER
from harness.training.devices import list_devices, resolve_device
from harness.workers.handle import WorkerHandle, ask
from harness.workers.messages import Answer, ModelJob, Task


@dataclass(frozen=True)
class KeptRun:
    """A run, and with what its kept models are put to work.

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

    @property
    def classes(self) -> list[str]:
        """The classes of the run in the order of their labels."""
        return self.store.require_run().data_set.classes

    def torch_device(self) -> str:
        """Return the device as torch names it.

        Raises:
            EnvironmentMissingError: It is not there.
        """
        return list_devices(resolve_device(self.device))[0]

    def find_models(self, records: Iterable[DoneRecord]) -> tuple[dict[str, RegisteredModel], dict[str, str]]:
        """Find the models of finished cells.

        Returns:
            The models whose plugin is there, and why there is none of the others; both by label.
        """
        host = discover(self.plugins)
        for trouble in host.troubles():
            self.cache.note(trouble)
        found, missing = {}, {}
        for label, record in {record.model: record for record in records}.items():
            try:
                found[label] = host.find(self.config.model_of(label)[0])
            except (PluginError, UsageError) as error:
                hint = " - say where its file is with --plugin" if record.plugin.distribution == "file" else ""
                missing[label] = f"{error}{hint}"
        return found, missing

    def ask(self, model: RegisteredModel, record: DoneRecord, task: Callable[[Path], Task]) -> Answer:
        """Have a worker process do something with a cell's model.

        Args:
            model: The model and its plugin.
            record: Of the cell.
            task: Makes the task, given the folder of a copy of what the model saved.

        Raises:
            DataError: What the model saved cannot be read.
        """
        with copied_model(self.store.folder / "cells" / record.cell.name) as saved:
            with uninterrupted():
                worker = WorkerHandle(record.model, model.reference, self.store.log_file(slug(record.model)))
            return ask(worker, task(saved), self.cache.note, self.config.cell_seconds)

    def job(self, record: DoneRecord, device: str, pixels: str) -> ModelJob:
        """Return what a worker has to know to make a cell's model anew.

        Args:
            record: Of the cell.
            device: As torch names it.
            pixels: Key of the decoded images.
        """
        return ModelJob(
            options=record.options,
            classes=tuple(self.classes),
            size=self.config.pixels.size,
            device=device,
            threads=self.config.threads,
            schedule=self.config.schedule.budget(),
            sources={},
            cache=self.cache.folder,
            code=source_hash(record.plugin.files),
            pixels=pixels,
            execution_mode=EAGER,
        )
