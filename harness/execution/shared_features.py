"""Shared features: made once by processes of their own, sealed by the host, read by the cells that wait for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from harness.cache import Cache
from harness.data.pixels import open_array
from harness.errors import CellError, DataError
from harness.execution.feature_plan import PlannedSet, plan_features
from harness.planning.observer import Observer
from harness.planning.plan import Run, job_of
from harness.plugin_api.model import Throughput
from harness.processes import uninterrupted
from harness.store.cells import Cell, slug
from harness.store.keys import hash_of
from harness.store.run_store import RunStore
from harness.training.devices import list_devices
from harness.training.feature_set import finish_set, image_digests, new_set
from harness.workers.handle import WorkerHandle, ask_all
from harness.workers.messages import (
    Answer,
    Failure,
    FeaturesMade,
    FeatureTask,
    ImageRows,
    ImagesDone,
    PrefixFound,
    PrefixTask,
)

KIND = "features"
"""The folder of the cache in which feature sets lie."""
_TRIED = 2  # images on which frozen layers are tried
_GB = 1e9


@dataclass
class SharedFeatures:
    """The feature sets of a run.

    Attributes:
        run: The prepared run.
        store: Its folder.
        cache: The cache.
        jobs: Processes at once.
        observer: Is told how far they are, and why there are none.
        folders: Where each cell finds its features; filled as they are made.
    """

    run: Run
    store: RunStore
    cache: Cache
    jobs: int
    observer: Observer
    folders: dict[Cell, Path] = field(default_factory=dict)

    def rounds(self, todo: list[Cell], speeds: Mapping[str, Throughput | None]) -> Iterator[list[Cell]]:
        """Yield cells as soon as the features that they share are there.

        A network that is pre-trained in this run is not known before its first cell has trained its stages: that cell,
        and those of models that share nothing, come first.

        Args:
            todo: The cells to compute.
            speeds: Of each model alone on the device, by label.
        """
        waiting = self.make(plan_features(self.run, todo, speeds))
        if not waiting:
            yield todo
            return
        sharing = {cell for one in waiting for cell in one.cells}
        openers = {cell.label: cell for cell in reversed(todo) if cell in sharing}
        yield [cell for cell in todo if cell not in sharing or openers[cell.label] == cell]
        rest = [cell for cell in todo if cell in sharing and openers[cell.label] != cell]
        self.make(plan_features(self.run, rest, speeds))
        yield rest

    def make(self, planned: list[PlannedSet]) -> list[PlannedSet]:
        """Make sets; one that cannot be made is noted, and its cells make features of their own.

        Returns:
            Those of networks whose stages are still to be trained.
        """
        waiting, found = [], self._find_prefixes(planned)
        for one in planned:
            prefix = found[one.cells[0].label]
            if isinstance(prefix, PrefixFound) and prefix.lacks_stages:
                waiting.append(one)
            elif isinstance(prefix, PrefixFound) and prefix.key is not None:
                self._make_one(one, prefix)
            elif isinstance(prefix, Failure):
                self._note(one, prefix.reason)
        return waiting

    def _find_prefixes(self, planned: list[PlannedSet]) -> dict[str, Answer]:
        """Ask every model once for the layers that its cells share, by label."""
        by_label = {one.cells[0].label: one for one in planned}
        tasks = [self._prefix_task(one, place) for place, one in enumerate(by_label.values())]
        return dict(zip(by_label, self._answers(list(by_label), tasks, lambda _: None), strict=True))

    def _prefix_task(self, one: PlannedSet, place: int) -> PrefixTask:
        cell = one.cells[0]
        images = self.run.decoded.rows(cell.seed, cell.fold, one.images[:_TRIED])
        pixels = self.run.decoded.pixel_key(cell.seed, cell.fold)
        return PrefixTask(job_of(self.run, cell.label, self.cache, pixels, self._device(place)), cell.seed, images)

    def _make_one(self, one: PlannedSet, prefix: PrefixFound) -> None:
        cell, code = one.cells[0], self.run.entry(one.cells[0].label).registered.source
        images = self.run.decoded.rows(cell.seed, cell.fold, one.images)
        array = open_array(images.array_file)
        # by content, which says nothing of class or patient; equal pictures are one
        row_of = dict(zip(image_digests(array[row] for row in images.rows), images.rows, strict=True))
        digests = sorted(row_of)
        rows = ImageRows(images.array_file, np.array([row_of[digest] for digest in digests]))
        key = hash_of([code, prefix.key, one.views, [digest.hex() for digest in digests]])[:32]
        if not self._has_room(one, key):
            return
        try:
            folder = self.cache.get(KIND, key, lambda building: self._fill(building, one, prefix, rows, digests))
        except (CellError, DataError) as error:
            self._note(one, str(error))
            return
        self.folders.update(dict.fromkeys(one.cells, folder))

    def _fill(
        self, building: Path, one: PlannedSet, prefix: PrefixFound, rows: ImageRows, digests: list[bytes]
    ) -> None:
        """Have a set made by as many processes as cells run at once."""
        label, dtype = one.cells[0].label, getattr(torch, prefix.dtype)
        file = new_set(building, digests, (one.views, *prefix.shape), dtype)
        batch = self.run.config.schedule.batch_size
        parts = max(1, min(self.jobs, len(digests) // batch))
        starts = [len(digests) * part // parts for part in range(parts + 1)]
        tasks = [
            self._feature_task(one, prefix, ImageRows(rows.array_file, rows.rows[start:end]), file, start, place)
            for place, (start, end) in enumerate(pairwise(starts))
        ]
        done, total = 0, len(digests) * one.views

        def report(count: int) -> None:
            nonlocal done
            done = min(done + count, total)
            self.observer.progress(f"features of {label}, {one.cells[0].stratum}", done, total)

        seconds = 0.0
        for answer in self._answers([label] * parts, tasks, report):
            if not isinstance(answer, FeaturesMade):
                raise CellError(answer.reason if isinstance(answer, Failure) else "it gave no answer")
            seconds += answer.seconds
        finish_set(building, prefix.key or "", dtype, seconds / len(digests))

    def _feature_task(
        self, one: PlannedSet, prefix: PrefixFound, rows: ImageRows, file: Path, first: int, place: int
    ) -> FeatureTask:
        cell = one.cells[0]
        pixels = self.run.decoded.pixel_key(cell.seed, cell.fold)
        setting = job_of(self.run, cell.label, self.cache, pixels, self._device(place))
        return FeatureTask(setting, cell.seed, rows, one.views, prefix, file, first)

    def _answers(
        self, labels: list[str], tasks: list[PrefixTask] | list[FeatureTask], on_images: Callable[[int], None]
    ) -> list[Answer]:
        """Have tasks done, several at once, and return their answers in order."""

        def on_message(message: Answer) -> None:
            if isinstance(message, ImagesDone):  # what else it says, its cells will say again
                on_images(message.count)

        workers = [partial(self._worker, label) for label in labels]
        at_once = min(self.jobs, os.cpu_count() or 1)  # here, whatever other machines a run has
        return ask_all(list(zip(workers, tasks, strict=True)), at_once, on_message, self.run.config.cell_seconds)

    def _worker(self, label: str) -> WorkerHandle:
        with uninterrupted():
            return WorkerHandle(label, self.run.entry(label).registered.reference, self.store.log_file(slug(label)))

    def _device(self, place: int) -> str:
        devices = list_devices(self.run.device)
        return devices[place % len(devices)]

    def _has_room(self, one: PlannedSet, key: str) -> bool:
        folder, limit = self.cache.folder / KIND, self.run.config.features_gb * _GB
        taken = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if (folder / key).exists() or taken + one.size <= limit:
            return True
        self._note(
            one,
            f"they take {one.size / _GB:.1f} GB, {folder} holds {taken / _GB:.1f} GB, and features_gb allows "
            f"{limit / _GB:g} - raise it, or remove what is no longer needed",
        )
        return False

    def _note(self, one: PlannedSet, reason: str) -> None:
        cell = one.cells[0]
        self.observer.note(
            f"features of {cell.label} at {cell.stratum} are made anew in each of its {len(one.cells)} cells: {reason}"
        )
