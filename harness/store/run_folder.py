"""Records of a run folder: the run, its cells, the cells at work."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Container
from pathlib import Path
from typing import Any, Self

from harness.errors import ConfigError, DataError
from harness.store.active import ActiveRecord
from harness.store.checksums import RECORD, find_fault
from harness.store.json_files import read_json
from harness.store.record import read_record
from harness.store.schema import MAX_CELLS, CellRecord, DoneRecord, FailedRecord, RunRecord
from harness.store.upgrades import upgrade_cell, upgrade_run

_ALIKE = ("plugin", "given", "options", "starts_from", "device", "versions")
"""What many cells have alike, and hold once in memory."""


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

    def read_run(self) -> RunRecord | None:
        """Return ``run.json``, or None where no run has been started.

        Raises:
            DataError: It cannot be read, or was written by a later version of the harness.
        """
        file = self.folder / "run.json"
        values = read_json(file)
        return None if values is None else parse_run(values, file)

    def require_run(self) -> RunRecord:
        """Return ``run.json``.

        Raises:
            DataError: There is no run, or it cannot be read.
        """
        run = self.require().read_run()
        if run is None:
            raise DataError(f"{self.folder}/run.json has been removed meanwhile")
        return run

    def read_cells(self, without: Container[str] = ()) -> dict[str, CellRecord]:
        """Return every cell's ``cell.json`` by the cell's name, sorted, but for those named."""
        files = {name: self._cells / name / RECORD for name in self._names() if name not in without}
        found = {name: read_json(file) for name, file in files.items()}
        return {name: parse_cell(values, files[name]) for name, values in found.items() if values is not None}

    def read_done(self, without: Container[str] = ()) -> dict[str, DoneRecord]:
        """Return the finished ones of :meth:`read_cells`."""
        return {name: record for name, record in self.read_cells(without).items() if isinstance(record, DoneRecord)}

    def find_damage(self, *, thorough: bool) -> dict[str, str]:
        """Find cells that are not what was written: half copied, edited, or without a record.

        Args:
            thorough: Read the models' files too (see :mod:`harness.store.checksums`).

        Returns:
            What is wrong, by the cell's name.
        """
        found = {name: self.fault_of(name, thorough=thorough) for name in self._names()}
        return {name: fault for name, fault in found.items() if fault is not None}

    def fault_of(self, cell: str, *, thorough: bool) -> str | None:
        """Say what is wrong with one cell, or return None; see :meth:`find_damage`."""
        found = self._examined(cell, thorough=thorough)
        return found if isinstance(found, str) else None

    def examine(self, *, thorough: bool) -> tuple[dict[str, CellRecord], dict[str, str]]:
        """Read every cell once: :meth:`find_damage`, and :meth:`read_cells` of the others.

        Raises:
            DataError: A cell without damage holds no record.
        """
        records: dict[str, CellRecord] = {}
        damage: dict[str, str] = {}
        known: dict[str, dict[str, Any]] = {}
        for name in self._names():
            found = self._examined(name, thorough=thorough)
            if isinstance(found, str):
                damage[name] = found
            else:
                record = parse_cell(found, self._cells / name / RECORD)
                alike = json.dumps([found.get(field) for field in _ALIKE])
                shared = known.setdefault(alike, {field: getattr(record, field) for field in _ALIKE})
                records[name] = record.model_copy(update=shared)
        return records, damage

    def read_sound(self) -> dict[str, CellRecord]:
        """Return every cell's record as :meth:`read_cells` does, and let nothing be concluded from a damaged cell.

        Raises:
            DataError: A cell is damaged; the message names the file and the command that mends it.
        """
        records, damage = self.examine(thorough=False)
        if damage:
            name, fault = next(iter(damage.items()))
            more = f" (and {len(damage) - 1} more cells)" if len(damage) > 1 else ""
            raise DataError(
                f"cell {self._cells / name} is damaged: {fault}{more} - copy it again, or repeat the 'harness run' "
                f"that filled {self.folder}: it computes damaged cells anew"
            )
        return records

    def names_of_cells(self) -> set[str]:
        """Return the names of what may be cells; none of it is read."""
        return set(self._names())

    def _names(self) -> list[str]:
        """List what may be a cell: stray files and empty folders are none."""
        found = (path for path in self._cells.glob("*") if not path.name.startswith(".") and path.is_dir())
        return sorted(path.name for path in found if any(path.iterdir()))

    def _examined(self, cell: str, *, thorough: bool) -> dict[str, Any] | str:
        """Return what a cell's record holds, or what is wrong with the cell."""
        try:
            record = read_json(self._cells / cell / RECORD)
            if record is None:
                return f"{RECORD} is not there"
            return find_fault(record, self._cells / cell, thorough=thorough) or record
        except DataError:
            return f"{RECORD} cannot be read"
        except (AttributeError, KeyError, TypeError):
            return f"{RECORD} does not hold what the harness writes there"

    def read_active(self) -> dict[str, ActiveRecord]:
        """Return the cells at work, by name; a note that a crash has cut short says nothing."""
        found = {}
        for path in sorted(self._active.glob("*.json")):
            with contextlib.suppress(DataError):
                found[path] = read_json(path)
        return {path.stem: read_record(ActiveRecord, note, path) for path, note in found.items() if note is not None}


def parse_run(values: dict[str, Any], file: Path) -> RunRecord:
    """Make a record of what a ``run.json`` of any version holds.

    Raises:
        DataError: It is none, was written by a later version of the harness, or plans too many cells.
    """
    try:
        run = read_record(RunRecord, upgrade_run(values, file.parent), file)
    except ConfigError as error:
        raise DataError(f"{file}: {error}") from error
    config = run.config
    if math.prod(map(len, (config.models, config.seeds, run.strata, run.comparison.folds))) > MAX_CELLS:
        raise DataError(f"{file} plans more than {MAX_CELLS:,} cells")
    return run


def parse_cell(values: dict[str, Any], file: Path) -> CellRecord:
    """Make a record of what a ``cell.json`` of any version holds, of a finished or of a failed cell.

    Raises:
        DataError: It is none.
    """
    kind = FailedRecord if values.get("state") == "failed" else DoneRecord
    return read_record(kind, upgrade_cell(values), file)
