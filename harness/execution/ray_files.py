"""The host's side of the files that travel to the nodes of a Ray cluster."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import ray

from harness.cache import Cache, find_fault
from harness.data.manifest import sha256_of_file
from harness.errors import CellError
from harness.execution.host_files import arrays_of
from harness.execution.ray_messages import HostFile, SavedPart, SentStage
from harness.execution.stage_artefacts import FILES, keep_stage, stages_for
from harness.plugin_api.discovery import RegisteredModel
from harness.workers.messages import FitTask

_PIECE_BYTES = 16 << 20


class OutgoingFiles:
    """What cells need of the host's files, and their content in the cluster's object store.

    A file is put there when the first node lacks it, and stays to the end of the run, on disk where memory is short.
    """

    def __init__(self) -> None:
        self._digests: dict[Path, str] = {}
        self._pieces: dict[HostFile, list[ray.ObjectRef]] = {}
        self._stages: dict[str, tuple[HostFile, ...]] = {}

    def files_of(self, task: FitTask, model: RegisteredModel, starts: Mapping[str, str]) -> tuple[HostFile, ...]:
        """List the files that a cell needs.

        Args:
            task: The cell's.
            model: Its model.
            starts: sha256 of the files of weights that the model starts from, by path.
        """
        arrays = [HostFile(path, self._digest(path)) for path in arrays_of(task)]
        weights = [HostFile(Path(path), digest) for path, digest in starts.items()]
        file = model.plugin.file
        plugin = [] if file is None else [HostFile(file, model.files[file.stem])]
        return tuple(arrays + weights + plugin)

    def stages_of(self, task: FitTask) -> dict[str, tuple[HostFile, ...]]:
        """List the files of finished stages that a cell may need, by the stages' keys; damaged ones are left out."""
        for key, folder in stages_for(task, task.setting.cache, without=self._stages).items():
            if not find_fault(folder):
                self._stages[key] = tuple(HostFile(folder / name, self._digest(folder / name)) for name in FILES)
        return dict(self._stages) if task.setting.sources else {}

    def pieces_of(self, files: Iterable[HostFile]) -> dict[HostFile, list[ray.ObjectRef]]:
        """Return references to the content of files."""
        return {file: self._put(file) for file in files}

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = sha256_of_file(path)
        return self._digests[path]

    def _put(self, file: HostFile) -> list[ray.ObjectRef]:
        if file not in self._pieces:
            self._pieces[file] = [ray.put(piece) for piece in _pieces(file.path)]
        return self._pieces[file]


def keep(sent: SavedPart | SentStage, task: FitTask) -> None:
    """Keep what a node has sent of a cell: what its model has saved, and stages that were pre-trained for it.

    Raises:
        CellError: It is not what it should be.
        DataError: The cache cannot be written.
    """
    if isinstance(sent, SavedPart):
        keep_part(task.folder, sent)
    else:
        keep_stage(Cache(task.setting.cache, note=lambda _text: None), sent.key, sent.files)


def keep_part(folder: Path, part: SavedPart) -> None:
    """Add a piece to a file in the folder of what a model has saved.

    Raises:
        CellError: Its name leads out of the folder.
    """
    name = PurePosixPath(part.name)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise CellError(f"a node has sent a file named {part.name!r}, which is no place in the cell's folder")
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as kept:
        kept.write(part.content)


def empty(folder: Path) -> None:
    """Remove what a lost attempt has left in the folder of what a model has saved."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
