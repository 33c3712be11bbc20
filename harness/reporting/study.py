"""A study: the runs of one config under several protocols, in one folder, a run a protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.errors import DataError
from harness.execution.readback import MAX_JSON_BYTES, parse_json, read_file
from harness.execution.store import RunStore, write_text
from harness.protocol.protocols import PROTOCOLS
from harness.reporting.leak import leak_table
from harness.reporting.publish import KEPT_FORMATS, own_folder, publish
from harness.reporting.results import read_results
from harness.reporting.table import Table, render

_FILE = "study.json"
_SCHEMA_VERSION = 1


def begin_study(folder: Path, protocols: Sequence[str]) -> None:
    """Say in the folder that it holds a study of these protocols, the strictest last."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"schema_version": _SCHEMA_VERSION, "protocols": protocols}
    write_text(folder / _FILE, json.dumps(content, indent=1) + "\n")


def study_runs(folder: Path) -> dict[str, RunStore]:
    """Return a study's runs by protocol; empty where the folder holds no study.

    Raises:
        DataError: Its ``study.json`` cannot be read.
    """
    file = folder / _FILE
    content = read_file(file, MAX_JSON_BYTES)
    if content is None:
        return {}
    protocols = parse_json(content, file).get("protocols")
    if not isinstance(protocols, list):
        raise DataError(f"{file} does not hold what the harness writes there: no list of protocols")
    # only what is a protocol names a folder: the file may come from elsewhere
    return {name: RunStore(folder / name) for name in protocols if isinstance(name, str) and name in PROTOCOLS}


def publish_study(folder: Path) -> Table:
    """Write the tables of every run and the table across protocols, and return the latter.

    Raises:
        DataError: A run is missing or has no finished cell.
    """
    stores = study_runs(folder)
    for store in stores.values():
        publish(store)
    table = leak_table({name: read_results(store) for name, store in stores.items()})
    tables = own_folder(folder / "tables")
    for how in KEPT_FORMATS:
        write_text(tables / f"leak.{how}", render(table, how))
    return table
