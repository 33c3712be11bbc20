"""Finished pre-trained stages of one cache, for another."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from harness.cache import Cache
from harness.errors import CellError
from harness.training import stages
from harness.workers.messages import FitTask

FILES = (stages.WEIGHTS, stages.RECORD)
_KEY = re.compile(r"[0-9a-f]{8,64}")


def stages_for(task: FitTask, cache: Path, without: Collection[str] = ()) -> dict[str, Path]:
    """Return the finished stages in a cache that were trained on a task's source sets.

    Args:
        task: The task; which of them it uses, only its model knows.
        cache: The cache's folder.
        without: Keys that are not asked for.

    Returns:
        The stages' folders by key.
    """
    wanted = {source.fingerprint for source in task.setting.sources.values()}
    folders = sorted(cache.joinpath(stages.KIND).glob("*")) if wanted else []
    named = [folder for folder in folders if _KEY.fullmatch(folder.name) and folder.name not in without]
    return {folder.name: folder for folder in named if _source_of(folder) in wanted}


def keep_stage(cache: Cache, key: str, files: Mapping[str, bytes]) -> None:
    """Put a stage into a cache, unless it is there.

    Args:
        cache: The cache.
        key: The stage's.
        files: The content of :data:`FILES`, by name.

    Raises:
        CellError: It is no stage.
        DataError: The cache cannot be written.
    """
    if not _KEY.fullmatch(key) or set(files) != set(FILES):
        raise CellError(f"a node has sent what is no pre-trained stage: {key[:64]!r} with {', '.join(files)[:200]}")

    def make(folder: Path) -> None:
        for name, content in files.items():
            folder.joinpath(name).write_bytes(content)

    cache.get(stages.KIND, key, make)


def _source_of(folder: Path) -> str | None:
    try:
        return str(json.loads(folder.joinpath(stages.RECORD).read_text(encoding="utf-8"))["source_fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
