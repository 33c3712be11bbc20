"""The table across the runs of a study."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.cache import Cache
from harness.config.run_config import StudyKind
from harness.reporting.ablation import ablation_table
from harness.reporting.leak import leak_table
from harness.reporting.publish import draw_once, own_folder, publish, write_tables
from harness.reporting.results import Results, read_results
from harness.reporting.table import Table, rendered
from harness.store.keys import hash_of
from harness.store.run_store import RunStore
from harness.store.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TABLES: dict[StudyKind, tuple[str, Callable[[dict[str, Results]], Table]]] = {
    "protocols": ("leak", leak_table),
    "variants": ("ablation", ablation_table),
}


def publish_study(study: Study, kept: Cache) -> tuple[str, Table]:
    """Write the tables of every run and the table across them, and return the latter with its name.

    Args:
        study: Its folders.
        kept: The cache.

    Raises:
        DataError: A run is missing or has no finished cell.
    """
    stores = {run: RunStore(folder) for run, folder in study.runs.items()}
    for store in stores.values():
        publish(store, kept)
    name, table = study_table(study, {run: read_results(store) for run, store in stores.items()})
    write_tables(own_folder(study.folder / "tables"), rendered([table]))
    if study.kind == "protocols":
        inputs = hash_of([table.title, table.records])
        draw_once(own_folder(study.folder / "figures"), inputs, lambda: _leak_figures(table))
    return name, table


def study_table(study: Study, results: dict[str, Results]) -> tuple[str, Table]:
    """Compute the table across the runs of a study, and return it with its name."""
    name, make = _TABLES[study.kind]
    return name, make(results)


def _leak_figures(table: Table) -> dict[str, Figure]:
    from harness.reporting.leak_figure import leak_figure  # noqa: PLC0415 - matplotlib, for whoever draws

    return {"leak": leak_figure(table)}
