"""Checksums of a finished cell's files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

RECORD = "cell.json"
TABLES = ("predictions.parquet", "history.parquet")


def with_checksums(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a cell's record with size and sha256 of every file in its folder, and its own sha256 at the end."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = {name.as_posix(): _sum(folder / name) for name in names if name.as_posix() != RECORD}
    # as it will be read again: tuples are lists then
    record = json.loads(json.dumps({**record, "files": files}, default=str))
    return {**record, "sha256": _digest(record)}


def find_fault(record: dict[str, Any], folder: Path, *, thorough: bool) -> str | None:
    """Hold a cell's folder against its seal.

    The record and the two tables are always read whole. A model's files are large and no table depends on them: they
    may be missing (then nothing can be predicted anew) and only their sizes are compared, unless ``thorough``.

    Args:
        record: What ``cell.json`` holds.
        folder: The cell's.
        thorough: Read the model's files too, and miss those that are not there.

    Returns:
        The file that is not what it was and why, or None; always None for a cell without a seal.
    """
    if "files" not in record:
        return None
    if record.get("sha256") != _digest(record):
        return f"{RECORD} is not as it was written"
    faults = (_fault_of(folder / name, known, thorough=thorough) for name, known in record["files"].items())
    return next((fault for fault in faults if fault), None)


def _fault_of(file: Path, known: dict[str, Any], *, thorough: bool) -> str | None:
    whole = thorough or file.name in TABLES
    if not file.is_file():
        return f"{file.name} is not there" if whole else None
    size = file.stat().st_size
    if size != known["bytes"]:
        return f"{file.name} has {size} bytes instead of {known['bytes']}"
    if whole and _sum(file)["sha256"] != known["sha256"]:
        return f"{file.name} is not as it was written"
    return None


def _sum(file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}


def _digest(record: dict[str, Any]) -> str:
    content = {name: value for name, value in record.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
