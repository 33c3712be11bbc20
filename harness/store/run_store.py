"""A run folder with its tables, read and written atomically."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.durable import cannot_write, flush, json_text, replace_text, write_json
from harness.errors import CellError, DataError
from harness.store.active import ActiveRecord
from harness.store.artifacts import SavingFolder, collect, copy_plain_files
from harness.store.checksums import RECORD, TABLES, find_fault, with_checksums
from harness.store.columns import (
    HISTORY,
    MANIFEST,
    SPLITS,
    as_table,
    predictions_schema,
    read_table,
    read_tables,
    table_frame,
    write_table,
)
from harness.store.encoded import batches, read_rows
from harness.store.json_files import read_json
from harness.store.run_folder import RunFolder
from harness.store.run_lock import OnWait, hold
from harness.store.schema import CellRecord, DoneRecord, FailedRecord, RunRecord
from harness.store.shards import MERGED_FILE, SHARD_FILE
from harness.threads import map_in_threads

TRACEBACK = "traceback.txt"
SAVED = "saved"
_ROOM_BYTES = 1 << 20
_OF_A_RUN = (
    *("cells", "checkpoints", "run.json", SHARD_FILE, MERGED_FILE),
    *("manifest.parquet", "splits.parquet", "tables", "figures"),
)
"""What a fresh start moves aside."""


class RunStore(RunFolder):
    """Reads and writes one run folder.

    Args:
        folder: The run folder; nothing is written before :meth:`open_for_writing`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._checkpoints = folder / "checkpoints"

    @contextlib.contextmanager
    def open_for_writing(self, on_wait: OnWait | None = None) -> Iterator[None]:
        """Hold the run folder for this process.

        Args:
            on_wait: Wait for a process that is at work in it, after having told so here; refuse at once if None.

        Raises:
            EnvironmentMissingError: It cannot be written.
            UsageError: Another process is at work in it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with hold(self.folder, on_wait):
                shutil.rmtree(self._active, ignore_errors=True)
                self._active.mkdir()
                self._cells.mkdir(exist_ok=True)
                try:
                    yield
                finally:
                    shutil.rmtree(self._active, ignore_errors=True)
        except OSError as error:
            named, folder = str(error.filename), str(self.folder)
            if not (named.startswith(folder) or folder.startswith(named)):
                raise
            raise cannot_write(Path(named), error) from error

    def write_run(self, run: RunRecord, manifest: pd.DataFrame, splits: pd.DataFrame) -> None:
        """Write ``run.json``, ``manifest.parquet`` and ``splits.parquet``."""
        write_table(self.folder / "manifest.parquet", manifest, MANIFEST)
        write_table(self.folder / "splits.parquet", splits, SPLITS)
        write_json(self.folder / "run.json", run.to_json())

    def holds(self, manifest: pd.DataFrame, splits: pd.DataFrame) -> bool:
        """Whether ``manifest.parquet`` and ``splits.parquet`` are these tables.

        Raises:
            DataError: One of them cannot be read.
        """
        wanted = (("manifest.parquet", manifest, MANIFEST), ("splits.parquet", splits, SPLITS))
        return all(
            read_table(self.folder / name, schema).equals(as_table(frame, schema, self.folder / name))
            for name, frame, schema in wanted
        )

    def read_manifest(self) -> pd.DataFrame:
        """Return every image of the run, used or not."""
        return table_frame(read_table(self.folder / "manifest.parquet", MANIFEST))

    def read_splits(self) -> pd.DataFrame:
        """Return ``image fold seed side``."""
        return table_frame(read_table(self.folder / "splits.parquet", SPLITS))

    def read_predictions(self, cells: Iterable[str], classes: Sequence[str]) -> pd.DataFrame:
        """Return the predictions of finished cells of these classes, one below the other (see :func:`read_rows`)."""
        return read_rows([self._cells / cell / "predictions.parquet" for cell in cells], predictions_schema(classes))

    def read_histories(self, cells: Iterable[str]) -> pd.DataFrame:
        """Return the histories of finished cells, one below the other, and the ``cell`` of each row.

        A model without epochs has none.
        """

        def read(files: Sequence[Path]) -> pd.DataFrame:
            tables = read_tables(files, HISTORY)
            names = [file.parent.name for file in files]
            return table_frame(pa.concat_tables(tables)).assign(cell=np.repeat(names, [len(table) for table in tables]))

        frames = list(map_in_threads(read, batches(self._cells / cell / "history.parquet" for cell in cells)))
        return pd.concat(frames, ignore_index=True).astype({"cell": "str"})

    def working_folder(self, cell: str) -> Path:
        """Make a folder beside the cells in which one is put together."""
        return Path(tempfile.mkdtemp(prefix=f".{cell}.", dir=self._cells))

    def saving_folder(self, working: Path) -> SavingFolder:
        """Make the folder in a working folder that is the model's to write to."""
        return SavingFolder.make(working / SAVED)

    def checkpoint_folder(self, cell: str, key: str) -> Path:
        """Return the folder for a cell's checkpoint, as an interruption has left it; other keys' are removed."""
        wanted = self._checkpoints / cell / key[:16]
        for place in (wanted.parent, wanted):
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                _remove(place)
        for stale in self._checkpoints.glob(f"{cell}/*"):
            if stale != wanted:
                _remove(stale)
        wanted.mkdir(parents=True, exist_ok=True)
        return wanted

    def drop_checkpoint(self, cell: str) -> None:
        """Remove the checkpoint of a cell that has ended."""
        _remove(self._checkpoints / cell)
        with contextlib.suppress(OSError):
            self._checkpoints.rmdir()

    def finish_cell(
        self, cell: str, saved: SavingFolder, record: DoneRecord, predictions: pd.DataFrame, history: pd.DataFrame
    ) -> None:
        """Complete a working folder and put it in place of whatever the cell was before.

        What is written is checked first, by the rules of whoever reads it later: a cell that could not be read again
        would stop every command on the run.

        Args:
            cell: Its name.
            saved: What the model has saved, in the cell's working folder.
            record: For ``cell.json``.
            predictions: For ``predictions.parquet``.
            history: For ``history.parquet``.

        Raises:
            CellError: The model has saved something that cannot be kept, or reported something that cannot be read.
            EnvironmentMissingError: There is no room for it.
        """
        working = saved.path.parent
        collect(saved, working)
        classes = [name.removeprefix("p_") for name in predictions.columns if name.startswith("p_")]
        schemas = (predictions_schema(classes), HISTORY)
        try:
            tables = {
                name: as_table(frame, schema, Path(name))
                for name, frame, schema in zip(TABLES, (predictions, history), schemas, strict=True)
            }
        except DataError as error:
            raise CellError(f"what the model has reported cannot be stored: {error}") from error
        try:
            for name, table in tables.items():
                pq.write_table(table, working / name)
        except OSError as error:
            raise cannot_write(self._cells / cell, error) from error
        self._put_in_place(cell, working, record)

    def fail_cell(self, cell: str, record: FailedRecord) -> None:
        """Record a failed cell, the traceback in a file of its own as well."""
        working = self.working_folder(cell)
        try:
            working.joinpath(TRACEBACK).write_text(record.error.traceback, encoding="utf-8")
        except OSError as error:
            raise cannot_write(self._cells / cell, error) from error
        self._put_in_place(cell, working, record)

    def copy_cell(self, cell: str, source: Path) -> None:
        """Copy a cell of another run as it was written, and put it in place of whatever the cell was before.

        Args:
            cell: Its name.
            source: The cell's folder in the other run. Links in it stay there.

        Raises:
            DataError: What has been copied is not what was written there.
            EnvironmentMissingError: There is no room for it.
        """
        working = self.working_folder(cell)
        try:
            copy_plain_files(source, working)
            record = read_json(working / RECORD) or {}
            whole = all((working / name).is_file() for name in record.get("files", ()))
            if fault := find_fault(record, working, thorough=whole):
                raise DataError(f"cell {source} is damaged: {fault} - copy it again; nothing of it has been taken")
            self._move_in_place(working, self._cells / cell)
        except OSError as error:
            raise cannot_write(self._cells / cell, error) from error
        finally:
            self.discard(working)

    def discard(self, working: Path) -> None:
        """Remove a working folder."""
        shutil.rmtree(working, ignore_errors=True)

    def require_room(self) -> None:
        """Write a little and remove it again.

        Raises:
            EnvironmentMissingError: That failed: the disk is full, or has become read-only.
        """
        trial = self._active / "room"
        try:
            trial.write_bytes(b"0" * _ROOM_BYTES)
            flush(trial)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        finally:
            trial.unlink(missing_ok=True)

    def log_file(self, model: str) -> Path:
        """Return the file for what a model's plugin prints."""
        return self.folder / "logs" / f"{model}.log"

    def set_active(self, cell: str, note: ActiveRecord) -> None:
        """Say that a cell is at work, and how far it is."""
        replace_text(self._active / f"{cell}.json", note.model_dump_json() + "\n")

    def clear_active(self, cell: str) -> None:
        """Say that a cell is no longer at work."""
        (self._active / f"{cell}.json").unlink(missing_ok=True)

    def move_cells_aside(self) -> None:
        """Give the run folder a fresh start, keeping what was in it under a name with the time."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        for name in _OF_A_RUN:
            old = self.folder / name
            if old.exists() and (name != "cells" or any(old.iterdir())):
                aside = self.folder / f"before-{stamp}"
                aside.mkdir(exist_ok=True)
                old.rename(aside / name)
        self._cells.mkdir(exist_ok=True)

    def sweep(self) -> None:
        """Remove what interrupted writes have left behind."""
        for leftover in [*self._cells.glob(".*"), *self.folder.glob(".*.json.*"), *self.folder.glob(".*.parquet.*")]:
            _remove(leftover)

    def _put_in_place(self, cell: str, working: Path, record: CellRecord) -> None:
        target = self._cells / cell
        try:
            sealed = json_text(with_checksums(record.to_json(), working))
            working.joinpath(RECORD).write_text(sealed, encoding="utf-8")
            for path in (*working.rglob("*"), working):  # each once, and all before anybody can find the cell
                flush(path)
            self._move_in_place(working, target)
        except OSError as error:
            raise cannot_write(target, error) from error

    def _move_in_place(self, working: Path, target: Path) -> None:
        working.chmod(0o755)
        if target.exists() or target.is_symlink():
            old = target.rename(working.with_name(f"{working.name}.old"))
            working.rename(target)
            _remove(old)
        else:
            working.rename(target)
        flush(self._cells)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
