"""A study: the runs of one config under several protocols or in several variants, in one folder, with one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.config.run_config import StudyKind, names_a_run
from harness.durable import write_text
from harness.errors import ComparisonError, DataError
from harness.reporting.ablation import ablation_table
from harness.reporting.leak import leak_table
from harness.reporting.publish import KEPT_FORMATS, own_folder, publish
from harness.reporting.results import Results, read_results
from harness.reporting.table import Table, render
from harness.store.run_store import RunStore
from harness.store.schema import MAX_JSON_BYTES, parse_json, read_file

_FILE = "study.json"
_SCHEMA_VERSION = 2
_TABLES: dict[StudyKind, tuple[str, Callable[[dict[str, Results]], Table]]] = {
    "protocols": ("leak", leak_table),
    "variants": ("ablation", ablation_table),
}


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
    runs: dict[str, RunStore]


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
    content = read_file(file, MAX_JSON_BYTES)
    if content is None:
        return None
    message = parse_json(content, file)
    try:
        if message["schema_version"] > _SCHEMA_VERSION:
            raise DataError(f"{folder} was written by a later version of the harness - update the harness")
        if message["schema_version"] == 1:
            return _study(folder, "protocols", message["protocols"])
        kinds = {kind: kind for kind in _TABLES}
        return _study(folder, kinds[message["kind"]], message["runs"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{file} does not hold what the harness writes there: {error}") from error


def publish_study(study: Study) -> Table:
    """Write the tables of every run and the table across them, and return the latter.

    Raises:
        DataError: A run is missing or has no finished cell.
    """
    for store in study.runs.values():
        publish(store)
    name, make = _TABLES[study.kind]
    table = make({run: read_results(store) for run, store in study.runs.items()})
    tables = own_folder(study.folder / "tables")
    for how in KEPT_FORMATS:
        write_text(tables / f"{name}.{how}", render(table, how))
    return table


def _study(folder: Path, kind: StudyKind, names: Iterable[str]) -> Study:
    # a name that leads out of the folder is no run's: the file may come from elsewhere
    runs = {name: RunStore(folder / name) for name in names if names_a_run(name)}
    if not runs:
        raise DataError(f"{folder / _FILE} names no run")
    return Study(folder, kind, runs)
