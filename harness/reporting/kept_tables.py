"""Tables of a run and their files, kept in the cache under a hash of everything that they are computed from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from harness.cache import Cache
from harness.errors import DataError, EnvironmentMissingError
from harness.reporting.table import Table, rendered
from harness.store.columns import MAX_TABLE_BYTES
from harness.store.json_files import read_file
from harness.store.run_store import RunStore
from harness.store.schema import CellRecord

_FILE = "tables.json"
_INPUTS = ("run.json", "manifest.parquet", "splits.parquet")
_LIBRARIES = ("jinja2", "numpy", "pandas", "pyarrow", "scipy", "tabulate")


@dataclass(frozen=True)
class KeptTables:
    """The tables of a run.

    Attributes:
        tables: By name.
        files: Their texts in every format, by file name; to make them takes a second.
    """

    tables: dict[str, Table]
    files: dict[str, str]


def kept_tables(
    store: RunStore, cells: Mapping[str, CellRecord], kept: Cache, compute: Callable[[], Mapping[str, Table]]
) -> KeptTables:
    """Return the tables of a run; they are computed where the cache has not those of these very inputs.

    Inputs are the run's files, its cells' records with the checksums of their tables, the harness's own source and the
    libraries that compute. The cells must have been held against their checksums before.

    Args:
        store: The run's folder.
        cells: The records of its cells.
        kept: The cache.
        compute: Computes them.

    Raises:
        DataError: A file of the run cannot be read.
    """
    key = _key(store, cells)
    if key is None:
        return _with_files(compute())
    try:
        folder = kept.get("tables", key, lambda folder: _write(folder / _FILE, _with_files(compute())))
        content = json.loads(folder.joinpath(_FILE).read_text(encoding="utf-8"))
    except (DataError, EnvironmentMissingError):
        return _with_files(compute())  # the cache cannot be used; or the run is at fault, and says so again
    return KeptTables({name: Table(**table) for name, table in content["tables"].items()}, content["files"])


def _with_files(tables: Mapping[str, Table]) -> KeptTables:
    return KeptTables(dict(tables), rendered(tables.values()))


def _write(file: Path, made: KeptTables) -> None:
    file.write_text(json.dumps(asdict(made), allow_nan=False), encoding="utf-8")


def _key(store: RunStore, cells: Mapping[str, CellRecord]) -> str | None:
    """Hash the inputs; None where a cell's record has no checksums, so that its tables might be anything."""
    digest = hashlib.sha256(_code().encode())
    for name in _INPUTS:
        digest.update(_content(store.folder / name))
    for name, record in sorted(cells.items()):
        if record.sha256 is None:
            return None
        digest.update(name.encode() + record.sha256.encode())
    return digest.hexdigest()


def _content(file: Path) -> bytes:
    """Return a file's bytes; none where it is missing, which whoever reads it will say."""
    return read_file(file, MAX_TABLE_BYTES) or b""


@cache
def _code() -> str:
    """Hash the harness's source, and name the libraries that compute."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    return " ".join([digest.hexdigest(), *(f"{name} {version(name)}" for name in _LIBRARIES)])
