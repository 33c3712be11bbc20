"""Copies of saved models, for a plugin to load."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import DataError
from harness.store.checksums import RECORD, TABLES, find_fault
from harness.store.json_files import read_json


@contextlib.contextmanager
def copied_model(folder: Path) -> Iterator[Path]:
    """Give a folder with what a cell's model has saved, and nothing else of the cell; it is removed afterwards.

    A plugin may write to the folder from which it loads. What it does there must not reach the cell.

    Args:
        folder: The cell's.

    Raises:
        DataError: The cell is not as it was written, or what the model saved was left out when it was copied here.
    """
    record = read_json(folder / RECORD) or {}
    fault = find_fault(record, folder, thorough=True)
    if fault is not None or "files" not in record:
        raise DataError(f"its model cannot be read: {fault or 'its files have no checksums'}")
    with tempfile.TemporaryDirectory(prefix="harness-model-") as scratch:
        copy = Path(scratch).resolve()
        for name in sorted(set(record["files"]) - set(TABLES)):
            target = (copy / name).resolve()
            if not target.is_relative_to(copy):
                raise DataError(f"its model cannot be read: {name} leads out of the cell's folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target)
        yield copy
