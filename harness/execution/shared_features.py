"""Shared features: made once by processes of their own, sealed by the host, read by the cells that wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import torch

from harness.cache import Cache
from harness.data.pixels import open_array
from harness.errors import CellError, DataError
from harness.execution.feature_plan import PlannedSet, plan_features
from harness.execution.feature_room import FeatureRoom
from harness.execution.measurements import StudyMeasurements, model_key
from harness.planning.observer import Observer
from harness.planning.plan import Run, job_of
from harness.plugin_api.model import Throughput
from harness.processes import uninterrupted
from harness.store.cells import Cell, slug
from harness.store.keys import hash_of
from harness.store.run_store import RunStore
from harness.threads import usable_cores
from harness.training.devices import list_devices
from harness.training.feature_set import finish_set, image_digests, new_set
from harness.training.frozen_features import images_at_once
from harness.training.prefix import TRIED
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
_GB = 1e9
_SILENT_SECONDS = 1800.0  # of a process that makes features, and says so with every batch


@dataclass
class SharedFeatures:
    """The feature sets of a run.

    Attributes:
        run: The prepared run.
        store: Its folder.
        cache: The cache.
        jobs: Processes at once.
        observer: Is told how far they are, and why there are none.
        study: Gives what earlier runs have found of frozen first layers, and takes what is found now.
        folders: Where each cell finds its features; filled as they are made.
    """

    run: Run
    store: RunStore
    cache: Cache
    jobs: int
    observer: Observer
    study: StudyMeasurements
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
        for one in self.make(plan_features(self.run, rest, speeds)):
            self._note(one, "the stages before them were not finished")
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
        tasks = {label: self._prefix_task(one, place) for place, (label, one) in enumerate(by_label.items())}
        keys = {label: self._prefix_key(label, task) for label, task in tasks.items()}
        known = {label: self.study.prefixes[key] for label, key in keys.items() if key in self.study.prefixes}
        asked = [label for label in tasks if label not in known]
        answers = self._answers(asked, [tasks[label] for label in asked], lambda _: None)
        found = dict(zip(asked, answers, strict=True))
        for label, answer in found.items():
            if isinstance(answer, PrefixFound) and not answer.lacks_stages:
                self.study.prefixes[keys[label]] = answer
        return {**known, **found}

    def _prefix_key(self, label: str, task: PrefixTask) -> str:
        images = str(task.images.array_file), task.images.rows.tolist()
        return hash_of([model_key(self.run, label, self.cache, task.setting.pixels), task.seed, images])

    def _prefix_task(self, one: PlannedSet, place: int) -> PrefixTask:
        cell = one.cells[0]
        images = self.run.decoded.rows(cell.seed, cell.fold, one.images[:TRIED])
        pixels = self.run.decoded.pixel_key(cell.seed, cell.fold)
        return PrefixTask(job_of(self.run, cell.label, self.cache, pixels, self._device(place)), cell.seed, images)

    def _make_one(self, one: PlannedSet, prefix: PrefixFound) -> None:
        """Give a set to its cells: one that is there, or one that is made now."""
        cell, code = one.cells[0], self.run.entry(one.cells[0].label).registered.source
        images = self.run.decoded.rows(cell.seed, cell.fold, one.images)
        array = open_array(images.array_file)
        # by content, which says nothing of class or patient; equal pictures are one
        row_of = dict(zip(image_digests(array[row] for row in images.rows), images.rows, strict=True))
        digests = sorted(row_of)
        rows = ImageRows(images.array_file, np.array([row_of[digest] for digest in digests]))
        key = hash_of([code, prefix.key, one.views, [digest.hex() for digest in digests]])[:32]
        room = FeatureRoom(self.cache.folder / KIND, self.run.config.features_gb * _GB)
        try:
            if not room.holds(key):
                if not one.is_worth_making:
                    return
                room.make(_size(one, prefix, len(digests)), keep=self.folders.values())
            folder = self.cache.get(KIND, key, lambda building: self._fill(building, one, prefix, rows, digests))
            room.mark_used(folder)
        except (CellError, DataError, OSError, ValueError) as error:
            self._note(one, str(error))
            return
        self.folders.update(dict.fromkeys(one.cells, folder))

    def _fill(
        self, building: Path, one: PlannedSet, prefix: PrefixFound, rows: ImageRows, digests: list[bytes]
    ) -> None:
        """Have a set made by as many processes as cells run at once."""
        label, shape, dtype = one.cells[0].label, (one.views, *prefix.shape), getattr(torch, prefix.dtype)
        file = new_set(building, digests, shape, dtype)
        config = self.run.config
        batch = images_at_once(config.schedule.batch_size, config.pixels.size, self.run.device.type)
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

        for answer in self._answers([label] * parts, tasks, report):
            if not isinstance(answer, FeaturesMade):
                raise CellError(answer.reason if isinstance(answer, Failure) else "it gave no answer")
        finish_set(building, digests, prefix.key or "", shape, dtype, one.seconds_per_image)

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
        at_once = min(self.jobs, usable_cores())  # here, whatever other machines a run has
        silence = self.run.config.cell_seconds or _SILENT_SECONDS
        answers = dict(ask_all(list(zip(workers, tasks, strict=True)), at_once, on_message, silence))
        return [answers[place] for place in range(len(tasks))]

    def _worker(self, label: str) -> WorkerHandle:
        with uninterrupted():
            return WorkerHandle(label, self.run.entry(label).registered.reference, self.store.log_file(slug(label)))

    def _device(self, place: int) -> str:
        devices = list_devices(self.run.device)
        return devices[place % len(devices)]

    def _note(self, one: PlannedSet, reason: str) -> None:
        cell = one.cells[0]
        self.observer.note(
            f"features of {cell.label} at {cell.stratum} are made anew in each of its {len(one.cells)} cells: {reason}"
        )


def _size(one: PlannedSet, prefix: PrefixFound, images: int) -> int:
    """Return what a set takes, in bytes."""
    return images * one.views * prod(prefix.shape) * int(getattr(torch, prefix.dtype).itemsize)
