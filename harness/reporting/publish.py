"""Writing of a run's tables and figures into its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cache import Cache
from harness.durable import replace_text, write_json
from harness.errors import DataError
from harness.reporting.kept_tables import kept_tables
from harness.reporting.results import Results, results_of
from harness.reporting.run_tables import run_tables
from harness.reporting.table import Table
from harness.store.json_files import read_json
from harness.store.keys import hash_of
from harness.store.run_store import RunStore
from harness.store.schema import CellRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWN = "drawn.json"
_DRAWING_CODE = tuple(Path(__file__).with_name(name) for name in ("figures.py", "leak_figure.py"))


def publish(store: RunStore, kept: Cache, records: Mapping[str, CellRecord] | None = None) -> dict[str, Table]:
    """Write ``tables/`` and ``figures/`` anew, and return the tables by name.

    Args:
        store: The run's folder.
        kept: The cache, which has the tables if they were computed before from the same cells by the same code.
        records: Of its cells, held against their checksums just now; read here by default.

    Raises:
        DataError: No run, or no finished cell.
    """
    run = store.require_run()
    cells = store.read_sound() if records is None else records
    results = cache(lambda: results_of(store, run, cells))
    made = kept_tables(store, cells, kept, lambda: run_tables(results()))
    tables, figures = (own_folder(store.folder / name) for name in ("tables", "figures"))
    write_tables(tables, made.files)
    inputs = [run.leaky, list(run.config.models), {name: record.sha256 for name, record in cells.items()}]
    draw_once(figures, hash_of(inputs), lambda: _figures(results()))
    return made.tables


def write_tables(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of tables, as :func:`~harness.reporting.table.rendered` names them."""
    for name, text in files.items():
        replace_text(folder / name, text)


def draw_once(folder: Path, inputs: str, draw: Callable[[], dict[str, Figure]]) -> None:
    """Draw figures, unless they are there as they were drawn from the same inputs: drawing takes seconds.

    Args:
        folder: For ``NAME.png``, ``NAME.svg`` and ``NAME.pdf``.
        inputs: A hash of what they are drawn from.
        draw: Makes the figures, by name.
    """
    record, code = folder / _DRAWN, hash_of([file.read_text(encoding="utf-8") for file in _DRAWING_CODE])
    if _known(record) == {"inputs": inputs, "code": code, "files": _checksums(folder)}:
        return
    from harness.reporting.figures import ENDINGS, image_bytes  # noqa: PLC0415 - matplotlib, for whoever draws

    for name, figure in draw().items():
        for ending in ENDINGS:
            file = folder / f"{name}.{ending}"
            file.unlink(missing_ok=True)  # a folder from elsewhere may hold a link in its place
            file.write_bytes(image_bytes(figure, ending))
    record.unlink(missing_ok=True)
    write_json(record, {"inputs": inputs, "code": code, "files": _checksums(folder)})


def _figures(results: Results) -> dict[str, Figure]:
    from harness.reporting.figures import FIGURES  # noqa: PLC0415 - matplotlib, for whoever draws

    drawn = {f"figure{number}": draw(results) for number, draw in FIGURES.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _known(record: Path) -> dict[str, Any] | None:
    try:
        return read_json(record)
    except DataError:
        return None


def _checksums(folder: Path) -> dict[str, str]:
    drawn = sorted(path for path in folder.glob("*.*") if path.is_file() and path.name != _DRAWN)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in drawn if not path.is_symlink()}


def own_folder(folder: Path) -> Path:
    """Make a folder for tables or figures, if it is not there.

    Raises:
        DataError: A link or a file is in its place, which could lead anywhere.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DataError(f"{folder} is a link or a file where tables and figures are to be written - remove it")
    folder.mkdir(exist_ok=True)
    return folder
