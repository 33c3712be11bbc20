"""Writing a run's tables and figures into its folder."""

from __future__ import annotations

from pathlib import Path

from harness.durable import write_text
from harness.errors import DataError
from harness.reporting.figures import FIGURES, image_bytes
from harness.reporting.results import read_results
from harness.reporting.table import Format, Table, render
from harness.reporting.tables import TABLES
from harness.store.run_store import RunStore

KEPT_FORMATS: tuple[Format, ...] = ("md", "csv", "tex")


def publish(store: RunStore) -> dict[int, Table]:
    """Write ``tables/`` and ``figures/`` anew, and return the tables by number.

    Raises:
        DataError: No run, or no finished cell.
    """
    results = read_results(store)
    tables, figures = (own_folder(store.folder / name) for name in ("tables", "figures"))
    made = {number: make(results) for number, make in TABLES.items()}
    for number, table in made.items():
        for how in KEPT_FORMATS:
            write_text(tables / f"table{number}.{how}", render(table, how))
    for number, draw in FIGURES.items():
        if (figure := draw(results)) is not None:
            for ending in ("png", "svg"):
                file = figures / f"figure{number}.{ending}"
                file.unlink(missing_ok=True)  # a folder from elsewhere may hold a link in its place
                file.write_bytes(image_bytes(figure, ending))
    return made


def own_folder(folder: Path) -> Path:
    """Make a folder for tables or figures, if it is not there.

    Raises:
        DataError: A link or a file is in its place, which could lead anywhere.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DataError(f"{folder} is a link or a file where tables and figures are to be written - remove it")
    folder.mkdir(exist_ok=True)
    return folder
