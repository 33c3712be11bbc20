"""Records of a run folder: the run, its cells, the cells at work."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any, Self

from harness.errors import DataError
from harness.store.checksums import RECORD, find_fault
from harness.store.schema import (
    MAX_JSON_BYTES,
    ActiveRecord,
    check_cell,
    check_record,
    check_run,
    parse_json,
    read_file,
)

SCHEMA_VERSION = 2
DONE, FAILED = "done", "failed"


class RunFolder:
    """Reads the records of one run folder; its tables are left to :class:`~harness.store.run_store.RunStore`.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cells = folder / "cells"
        self._active = folder / "active"

    def require(self) -> Self:
        """Return itself if there is a run in the folder.

        Raises:
            DataError: There is none.
        """
        if not (self.folder / "run.json").is_file():
            below = ", ".join(str(path.parent) for path in sorted(self.folder.glob("*/run.json")))
            raise DataError(
                f"no run in {self.folder}: run.json is not there - "
                + (f"runs are in {below}" if below else "'harness run CONFIG --out DIR' makes one")
            )
        return self

    def read_run(self) -> dict[str, Any] | None:
        """Return ``run.json``, or None where no run has been started.

        Raises:
            DataError: It cannot be read, or was written by a later version of the harness.
        """
        file = self.folder / "run.json"
        run = _read_json(file)
        if run is None:
            return None
        version = run.get("schema_version", 0)
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise DataError(f"{self.folder} was written by a later version of the harness - update the harness")
        return check_run(run, file)

    def read_cells(self, without: Container[str] = ()) -> dict[str, dict[str, Any]]:
        """Return every cell's ``cell.json`` by the cell's name, sorted, but for those named."""
        files = {name: self._cells / name / RECORD for name in self._names() if name not in without}
        found = {name: _read_json(file) for name, file in files.items()}
        return {name: check_cell(record, files[name]) for name, record in found.items() if record is not None}

    def find_damage(self, *, thorough: bool) -> dict[str, str]:
        """Find cells that are not what was written: half copied, edited, or without a record.

        Args:
            thorough: Read the models' files too (see :mod:`harness.store.checksums`).

        Returns:
            What is wrong, by the cell's name.
        """
        found = {name: self._fault(name, thorough=thorough) for name in self._names()}
        return {name: fault for name, fault in found.items() if fault is not None}

    def refuse_damage(self) -> None:
        """Let nothing be concluded from a damaged cell.

        Raises:
            DataError: A cell is damaged; the message names the file and the command that mends it.
        """
        damage = self.find_damage(thorough=False)
        if damage:
            name, fault = next(iter(damage.items()))
            more = f" (and {len(damage) - 1} more cells)" if len(damage) > 1 else ""
            raise DataError(
                f"cell {self._cells / name} is damaged: {fault}{more} - copy it again, or repeat the 'harness run' "
                f"that filled {self.folder}: it computes damaged cells anew"
            )

    def _names(self) -> list[str]:
        """List what may be a cell: stray files and empty folders are none."""
        found = (path for path in self._cells.glob("*") if not path.name.startswith(".") and path.is_dir())
        return sorted(path.name for path in found if any(path.iterdir()))

    def _fault(self, cell: str, *, thorough: bool) -> str | None:
        try:
            record = _read_json(self._cells / cell / RECORD)
            return (
                f"{RECORD} is not there"
                if record is None
                else find_fault(record, self._cells / cell, thorough=thorough)
            )
        except DataError:
            return f"{RECORD} cannot be read"
        except (AttributeError, KeyError, TypeError):
            return f"{RECORD} does not hold what the harness writes there"

    def read_active(self) -> dict[str, dict[str, Any]]:
        """Return the cells at work, by name."""
        found = {path: _read_json(path) for path in sorted(self._active.glob("*.json"))}
        return {
            path.stem: check_record(state, ActiveRecord, path) for path, state in found.items() if state is not None
        }


def _read_json(path: Path) -> dict[str, Any] | None:
    content = read_file(path, MAX_JSON_BYTES)
    return None if content is None else parse_json(content, path)
