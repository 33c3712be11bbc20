"""The run folder: what a run is, on disk. Everything appears whole or not at all: written beside, then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import pyarrow as pa

from harness.errors import DataError, EnvironmentMissingError, UsageError
from harness.execution.readback import (
    MAX_JSON_BYTES,
    ActiveRecord,
    check_cell,
    check_record,
    check_run,
    parse_json,
    read_file,
)
from harness.execution.table_columns import (
    HISTORY,
    MANIFEST,
    MAX_TABLE_BYTES,
    PREDICTIONS,
    SPLITS,
    parse_table,
    table_frame,
)

SCHEMA_VERSION = 1
DONE, FAILED = "done", "failed"


class RunStore:
    """Reads and writes one run folder.

    Args:
        folder: The run folder; nothing is written before :meth:`open_for_writing`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cells = folder / "cells"
        self._active = folder / "active"

    def require(self) -> RunStore:
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

    @contextlib.contextmanager
    def open_for_writing(self) -> Iterator[None]:
        """Hold the run folder for this process.

        Raises:
            EnvironmentMissingError: It cannot be written.
            UsageError: Another process is at work in it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.folder / ".lock", timeout=0)
            with lock:
                shutil.rmtree(self._active, ignore_errors=True)
                self._active.mkdir()
                self._cells.mkdir(exist_ok=True)
                try:
                    yield
                finally:
                    shutil.rmtree(self._active, ignore_errors=True)
        except filelock.Timeout:
            raise UsageError(
                f"another 'harness run' is at work in {self.folder} - wait for it, or choose another --out"
            ) from None
        except OSError as error:
            named, folder = str(error.filename), str(self.folder)
            if not (named.startswith(folder) or folder.startswith(named)):
                raise
            raise EnvironmentMissingError(
                f"cannot write to {named}: {error.strerror} - choose another --out"
            ) from error

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

    def write_run(self, run: dict[str, Any], manifest: pd.DataFrame, splits: pd.DataFrame) -> None:
        """Write ``run.json``, ``manifest.parquet`` and ``splits.parquet``."""
        _write_parquet(self.folder / "manifest.parquet", manifest)
        _write_parquet(self.folder / "splits.parquet", splits)
        _write_json(self.folder / "run.json", {"schema_version": SCHEMA_VERSION, **run})

    def read_manifest(self) -> pd.DataFrame:
        """Return every image of the run, used or not."""
        return table_frame(_read_table(self.folder / "manifest.parquet", MANIFEST))

    def read_splits(self) -> pd.DataFrame:
        """Return ``image fold seed side``."""
        return table_frame(_read_table(self.folder / "splits.parquet", SPLITS))

    def read_cells(self) -> dict[str, dict[str, Any]]:
        """Return every cell's ``cell.json`` by the cell's name, sorted."""
        names = sorted(path.name for path in self._cells.glob("*") if not path.name.startswith("."))
        files = {name: self._cells / name / "cell.json" for name in names}
        found = {name: _read_json(file) for name, file in files.items()}
        return {name: check_cell(record, files[name]) for name, record in found.items() if record is not None}

    def read_predictions(self, cells: Iterable[str]) -> pd.DataFrame:
        """Return the predictions of finished cells, one below the other."""
        files = [self._cells / cell / "predictions.parquet" for cell in cells]
        tables = [_read_table(file, PREDICTIONS) for file in files]
        return table_frame(pa.concat_tables(tables, promote_options="permissive"))

    def read_history(self, cell: str) -> pd.DataFrame:
        """Return a finished cell's history, one row an epoch; empty for a model without epochs."""
        return table_frame(_read_table(self._cells / cell / "history.parquet", HISTORY))

    def working_folder(self, cell: str) -> Path:
        """Make a folder beside the cells in which one is put together."""
        return Path(tempfile.mkdtemp(prefix=f".{cell}.", dir=self._cells))

    def finish_cell(
        self, cell: str, working: Path, record: dict[str, Any], predictions: pd.DataFrame, history: pd.DataFrame
    ) -> None:
        """Complete a working folder and put it in place of whatever the cell was before."""
        _write_parquet(working / "predictions.parquet", predictions)
        _write_parquet(working / "history.parquet", history)
        self._put_in_place(cell, working, record)

    def fail_cell(self, cell: str, working: Path, record: dict[str, Any]) -> None:
        """Record a failed cell; nothing that it wrote is kept."""
        shutil.rmtree(working, ignore_errors=True)
        working.mkdir()
        self._put_in_place(cell, working, record)

    def log_file(self, model: str) -> Path:
        """Return the file for what a model's plugin prints."""
        return self.folder / "logs" / f"{model}.log"

    def set_active(self, cell: str, state: dict[str, Any]) -> None:
        """Say that a cell is at work, and how far it is."""
        _write_json(self._active / f"{cell}.json", state)

    def clear_active(self, cell: str) -> None:
        """Say that a cell is no longer at work."""
        (self._active / f"{cell}.json").unlink(missing_ok=True)

    def read_active(self) -> dict[str, dict[str, Any]]:
        """Return the cells at work, by name."""
        found = {path: _read_json(path) for path in sorted(self._active.glob("*.json"))}
        return {
            path.stem: check_record(state, ActiveRecord, path) for path, state in found.items() if state is not None
        }

    def move_cells_aside(self) -> None:
        """Give the run folder a fresh start, keeping what was in it under a name with the time."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        for name in ("cells", "run.json", "manifest.parquet", "splits.parquet", "tables", "figures"):
            old = self.folder / name
            if old.exists() and (name != "cells" or any(old.iterdir())):
                aside = self.folder / f"before-{stamp}"
                aside.mkdir(exist_ok=True)
                old.rename(aside / name)
        self._cells.mkdir(exist_ok=True)

    def sweep(self) -> None:
        """Remove what interrupted writes have left behind."""
        for leftover in self._cells.glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _put_in_place(self, cell: str, working: Path, record: dict[str, Any]) -> None:
        _write_json(working / "cell.json", record)
        for file in working.iterdir():
            _flush(file)
        working.chmod(0o755)
        target = self._cells / cell
        if target.exists():
            old = target.rename(working.with_name(f"{working.name}.old"))
            working.rename(target)
            shutil.rmtree(old)
        else:
            working.rename(target)
        _flush(self._cells)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    _flush(beside)
    beside.replace(path)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=1, default=str) + "\n")


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    table.to_parquet(beside, index=False)
    beside.replace(path)


def _read_json(path: Path) -> dict[str, Any] | None:
    content = read_file(path, MAX_JSON_BYTES)
    return None if content is None else parse_json(content, path)


def _read_table(path: Path, columns: Mapping[str, str]) -> pa.Table:
    content = read_file(path, MAX_TABLE_BYTES)
    if content is None:
        raise DataError(f"cannot read {path}: it is not there")
    return parse_table(pa.BufferReader(content), columns, path)


def _flush(path: Path) -> None:
    """Make sure that a file or folder is on the disk before something relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
