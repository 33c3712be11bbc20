"""A study: the runs of one config under several protocols, in one folder, a run a protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.durable import write_text
from harness.errors import DataError
from harness.execution.store import RunStore
from harness.protocol.protocols import PROTOCOLS
from harness.reporting.leak import leak_table
from harness.reporting.publish import KEPT_FORMATS, publish
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
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        # only what is a protocol names a folder: the file may come from elsewhere
        return {name: RunStore(folder / name) for name in content["protocols"] if name in PROTOCOLS}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read {folder / _FILE}: {error}") from error


def publish_study(folder: Path) -> Table:
    """Write the tables of every run and the table across protocols, and return the latter.

    Raises:
        DataError: A run is missing or has no finished cell.
    """
    stores = study_runs(folder)
    for store in stores.values():
        publish(store)
    table = leak_table({name: read_results(store) for name, store in stores.items()})
    (folder / "tables").mkdir(exist_ok=True)
    for how in KEPT_FORMATS:
        write_text(folder / "tables" / f"leak.{how}", render(table, how))
    return table
