"""The worker slot: an actor of a Ray cluster that has cells done, one after the other, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import psutil
import ray
import torch

from harness.cache import Cache
from harness.data.version import PIXEL_VERSION
from harness.errors import CellError
from harness.execution.host_files import NodeFiles, options_with_places, placed_model, with_places
from harness.execution.ray_messages import (
    MARK,
    PART_BYTES,
    SAVED_BYTES,
    CellOrder,
    HostFile,
    Introduction,
    Message,
    Printed,
    SavedPart,
    SentStage,
)
from harness.execution.stage_artefacts import FILES, keep_stage, stages_for
from harness.locations import cache_folder
from harness.plugin_api.model import EpochReport
from harness.processes import die_with_parent, forkserver
from harness.store.artifacts import SavingFolder, list_saved
from harness.training.devices import describe_device, versions
from harness.training.version import TRAINING_VERSION
from harness.workers.handle import WorkerHandle
from harness.workers.messages import Failure, FitTask, Fitted, Notice

_FIRST_GPU = "cuda:0"
"""The device that Ray leaves visible to an actor, under the number that it has there."""


class WorkerSlot:
    """A place for one worker process at a time, on whichever node Ray has put it.

    Args:
        device: As torch names it on the host.
        omp_threads: The host's ``OMP_NUM_THREADS``, in the place of which Ray sets a value; None if it has none.
    """

    def __init__(self, device: str, omp_threads: str | None) -> None:
        die_with_parent()  # a node that ends by force leaves its actors at work
        os.environ.pop("OMP_NUM_THREADS", None)
        if omp_threads is not None:
            os.environ["OMP_NUM_THREADS"] = omp_threads
        self._device = _FIRST_GPU if device.startswith("cuda") else device
        self._notes: list[str] = []
        self._cache = Cache(cache_folder(), self._notes.append)
        self._files = NodeFiles(self._cache)
        self._stages: set[str] = set()
        self._log = _own_folder(self._cache.folder / "slots") / "printed"
        self._worker: WorkerHandle | None = None

    def introduce(self, distributions: Sequence[str]) -> Introduction:
        """Say where the slot is, and what is installed there; afterwards a cell's process can be started at once."""
        with _nameless_main():
            first = forkserver().Process(target=os.getpid)
            first.start()
        first.join()
        return Introduction(
            os.getpid(),
            socket.gethostname(),
            ray.get_runtime_context().get_node_id(),
            describe_device(torch.device(self._device)),
            versions(),
            code_versions(distributions),
        )

    def lacking(self, files: Sequence[HostFile]) -> list[HostFile]:
        """Return those of the host's files that this node does not have."""
        return self._files.lacking(files)

    def work(self, order: CellOrder, sent: Mapping[HostFile, Sequence[ray.ObjectRef]]) -> Iterator[Message]:
        """Have a cell done, and yield what its process says, with what it printed and saved before the last answer.

        Args:
            order: The cell.
            sent: Pieces of the files that this node lacked.
        """
        for file, parts in sent.items():
            self._files.receive(file, (ray.get(part) for part in parts))
        self._files.lacking(order.files)  # what another slot of this node has received is found
        for key, files in order.stages.items():
            if key not in self._stages:
                self._keep_stage(key, files)
        worker = self._worker_for(order)
        with tempfile.TemporaryDirectory(dir=self._log.parent) as folder:
            saved = SavingFolder.make(Path(folder) / "saved")
            worker.send(self._placed_task(order, saved.path))
            answer = worker.receive()
            while isinstance(answer, EpochReport | Notice):
                yield answer
                answer = worker.receive()
            yield from self._said()
            yield from self._new_stages(order.task)
            if isinstance(answer, Fitted):
                try:
                    yield from _saved_parts(saved)
                except CellError as error:
                    answer = Failure(str(error))
            if isinstance(answer, Failure):
                answer = replace(answer, reason=answer.reason.replace(str(self._log), str(order.log)))
            yield answer

    def _keep_stage(self, key: str, files: Sequence[HostFile]) -> None:
        keep_stage(self._cache, key, {file.path.name: self._files.place(file).read_bytes() for file in files})
        self._stages.add(key)

    def _new_stages(self, task: FitTask) -> Iterator[SentStage]:
        """Yield the stages that this node's cells have finished and that the host may lack."""
        for key, folder in stages_for(task, self._cache.folder, without=self._stages).items():
            self._stages.add(key)
            yield SentStage(key, {name: folder.joinpath(name).read_bytes() for name in FILES})

    def _worker_for(self, order: CellOrder) -> WorkerHandle:
        """Return the process that watches over the model's cells; a new one for another model, or after a crash."""
        if self._worker is None or not self._worker.alive or self._worker.label != order.label:
            if self._worker is not None:
                self._worker.kill()
            places = {file.path: self._files.place(file) for file in order.files}
            with _nameless_main():
                self._worker = WorkerHandle(order.label, placed_model(order.model, places), self._log)
        return self._worker

    def _placed_task(self, order: CellOrder, folder: Path) -> FitTask:
        """Return the task as this node can do it."""
        places = {file.path: self._files.place(file) for file in order.files}
        options = options_with_places(order.task.setting.options, {str(path): str(to) for path, to in places.items()})
        task = with_places(order.task, places.__getitem__)
        setting = replace(task.setting, options=options, device=self._device, cache=self._cache.folder)
        return replace(
            task,
            setting=setting,
            cache=self._cache.folder / order.task.cache.relative_to(order.task.setting.cache),
            folder=folder,
            checkpoint=task.checkpoint if _is_shared(task.checkpoint, order.checkpoint_mark) else None,
            features=task.features if task.features and task.features.is_dir() else None,  # else the cell makes its own
        )

    def _said(self) -> Iterator[Message]:
        """Yield what the plugin has printed, and what the cache has to tell."""
        for log in (self._log.with_name(f"{self._log.name}.1"), self._log):
            with contextlib.suppress(FileNotFoundError):
                yield Printed(log.read_bytes())
                log.unlink()
        yield from (Notice(note) for note in self._notes)  # no 'map': Ray sends into generators, and those within
        self._notes.clear()


def code_versions(distributions: Sequence[str]) -> dict[str, str]:
    """Return the versions that must be the same on host and nodes: of training, pixels, the plugins' distributions.

    Args:
        distributions: Names of those that the run's plugins come from.
    """
    own = {"training version": str(TRAINING_VERSION), "pixel version": str(PIXEL_VERSION)}
    return {**own, **{name: _version_of(name) for name in distributions}}


def _version_of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _saved_parts(saved: SavingFolder) -> Iterator[SavedPart]:
    """Yield the files that a model has saved, piece by piece.

    Raises:
        CellError: There is what cannot be kept, or too much.
    """
    try:
        files = [path for path in list_saved(saved) if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        if size > SAVED_BYTES:
            raise CellError(f"save() has left {size:,} bytes; at most {SAVED_BYTES:,} come back from a node")
        for path in files:
            name = path.relative_to(saved.path).as_posix()
            with path.open("rb") as content:
                yield SavedPart(name, content.read(PART_BYTES))
                while part := content.read(PART_BYTES):
                    yield SavedPart(name, part)
    except OSError as error:
        raise CellError(f"what save() has left cannot be read: {error.filename}: {error.strerror}") from error


def _is_shared(checkpoint: Path | None, mark: str) -> bool:
    """Whether a checkpoint folder of the host is the very same here."""
    try:
        return checkpoint is not None and checkpoint.joinpath(MARK).read_text(encoding="ascii") == mark
    except OSError:
        return False


def _own_folder(parent: Path) -> Path:
    """Make a folder for this process, and remove those of processes of this machine that are gone."""
    here = f"{socket.gethostname()}-"
    for old in parent.glob(f"{here}*"):
        pid = old.name.removeprefix(here)
        if not pid.isdecimal() or not psutil.pid_exists(int(pid)) or int(pid) == os.getpid():
            shutil.rmtree(old, ignore_errors=True)
    own = parent / f"{here}{os.getpid()}"
    own.mkdir(parents=True)
    return own


@contextlib.contextmanager
def _nameless_main() -> Iterator[None]:
    """Start processes that do not import the script of Ray's actors, which every cell would find in its memory."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
