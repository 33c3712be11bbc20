"""Files of the host that cells need, and their places on another machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cache import Cache, find_fault
from harness.data.manifest import sha256_of_file
from harness.errors import DataError
from harness.execution.ray_messages import HostFile
from harness.plugin_api.reference import ModelReference
from harness.workers.messages import FitTask, ImageRows, LabeledRows, SourceRows

Place = Callable[[Path], Path]
"""Where a machine has a file of the host."""

_KIND = "received"


def arrays_of(task: FitTask) -> list[Path]:
    """List the decoded arrays that a task reads."""
    found: dict[Path, None] = {}

    def note(path: Path) -> Path:
        found[path] = None
        return path

    with_places(task, note)
    return list(found)


def with_places(task: FitTask, place: Place) -> FitTask:
    """Return a task that reads its arrays at other places."""
    setting = task.setting
    sources = {name: _source(rows, place) for name, rows in setting.sources.items()}
    return replace(
        task,
        setting=replace(setting, sources=sources),
        train=_labeled(task.train, place),
        validation=_labeled(task.validation, place),
        test=_rows(task.test, place),
    )


def options_with_places(options: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Return a model's options with other paths in the place of those that it starts from.

    Args:
        options: As JSON values.
        files: The places by path.
    """

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [moved(inner) for inner in value]
        return files.get(str(Path(value)), value) if isinstance(value, str) else value

    return {name: moved(value) for name, value in options.items()}


class NodeFiles:
    """Files of the host on this machine: at their own place if the storage is shared, otherwise in the cache.

    Args:
        cache: This machine's cache, where what is sent is kept by its content.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._places: dict[HostFile, Path] = {}

    def lacking(self, files: Iterable[HostFile]) -> list[HostFile]:
        """Return those that are not here, or not with the same content."""
        return [file for file in files if not self._find(file)]

    def receive(self, file: HostFile, content: Iterable[bytes]) -> None:
        """Keep what is sent, unless another process of this machine has received it meanwhile.

        Raises:
            DataError: It is not what was announced, or the cache cannot be written.
        """

        def make(folder: Path) -> None:
            digest = hashlib.sha256()
            with folder.joinpath(file.path.name).open("wb") as kept:
                for part in content:
                    digest.update(part)
                    kept.write(part)
            if digest.hexdigest() != file.digest:
                raise DataError(f"{file.path} has changed while it was sent - run again when nobody writes there")

        self._places[file] = self._cache.get(_KIND, _key(file), make) / file.path.name

    def place(self, file: HostFile) -> Path:
        """Return where a file is that is not lacking."""
        return self._places[file]

    def _find(self, file: HostFile) -> bool:
        if file in self._places:
            return True
        kept = self._cache.folder / _KIND / _key(file)
        if _has(file.path, file.digest):
            self._places[file] = file.path
        elif kept.exists() and not find_fault(kept):
            self._places[file] = kept / file.path.name
        return file in self._places


def placed_model(model: ModelReference, places: Mapping[Path, Path]) -> ModelReference:
    """Return a model whose plugin file is at another place."""
    file = model.plugin.file
    return model if file is None else replace(model, plugin=replace(model.plugin, file=places[file]))


def _has(path: Path, digest: str) -> bool:
    try:
        return path.is_file() and sha256_of_file(path) == digest
    except (DataError, OSError):
        return False


def _key(file: HostFile) -> str:
    return hashlib.sha256(f"{file.digest} {file.path.name}".encode()).hexdigest()[:32]


def _source(source: SourceRows, place: Place) -> SourceRows:
    return replace(
        source,
        train=_labeled(source.train, place),
        validation=_labeled(source.validation, place),
        held_out={side: _labeled(rows, place) for side, rows in source.held_out.items()},
    )


def _labeled(rows: LabeledRows, place: Place) -> LabeledRows:
    return replace(rows, images=_rows(rows.images, place))


def _rows(rows: ImageRows, place: Place) -> ImageRows:
    return replace(rows, array_file=place(rows.array_file))
