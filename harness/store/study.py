"""A study on disk: several runs of one config in one folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from harness.config.run_config import StudyKind, names_a_run
from harness.durable import write_text
from harness.errors import ComparisonError, DataError
from harness.store.json_files import read_json

_FILE = "study.json"
_SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Study:
    """A study on disk.

    Attributes:
        folder: Of ``study.json``; every run has a folder of its own in it.
        kind: What its runs differ in.
        runs: By name; protocols stand with the strictest last, variants with the reference's first.
    """

    folder: Path
    kind: StudyKind
    runs: dict[str, Path]


def begin_study(folder: Path, kind: StudyKind, names: Iterable[str]) -> Study:
    """Say in the folder that it holds a study of these runs.

    Raises:
        ComparisonError: It holds a study of the other kind.
    """
    before, runs = read_study(folder), list(names)
    if before is not None and before.kind != kind:
        raise ComparisonError(
            f"{folder} holds a study of {before.kind}, this one is of {kind}; they have different tables - choose "
            "another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    content = {"schema_version": _SCHEMA_VERSION, "kind": kind, "runs": runs}
    write_text(folder / _FILE, json.dumps(content, indent=1) + "\n")
    return _study(folder, kind, runs)


def read_study(folder: Path) -> Study | None:
    """Return the study in a folder; None where it holds none.

    Raises:
        DataError: Its ``study.json`` cannot be read, names no run, or was written by a later version of the harness.
    """
    file = folder / _FILE
    message = read_json(file)
    if message is None:
        return None
    try:
        if message["schema_version"] > _SCHEMA_VERSION:
            raise DataError(f"{folder} was written by a later version of the harness - update the harness")
        if message["schema_version"] == 1:
            return _study(folder, "protocols", message["protocols"])
        kinds: dict[str, StudyKind] = {kind: kind for kind in get_args(StudyKind)}
        return _study(folder, kinds[message["kind"]], message["runs"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{file} does not hold what the harness writes there: {error}") from error


def _study(folder: Path, kind: StudyKind, names: Iterable[str]) -> Study:
    # a name that leads out of the folder is no run's: the file may come from elsewhere
    runs = {name: folder / name for name in names if names_a_run(name)}
    if not runs:
        raise DataError(f"{folder / _FILE} names no run")
    return Study(folder, kind, runs)
