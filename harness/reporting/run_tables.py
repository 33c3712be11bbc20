"""The tables of a run, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.errors import UsageError, did_you_mean
from harness.reporting.accuracy import table_3
from harness.reporting.analysis import Analysis
from harness.reporting.detail_tables import differences_table, metrics_table, shortcuts_table, thresholds_table
from harness.reporting.paper_tables import table_1, table_4, table_5
from harness.reporting.patient_tables import groups_table, subgroups_table
from harness.reporting.results import Results
from harness.reporting.table import Table

TABLES: Mapping[str, Callable[[Analysis], Table | None]] = {
    "1": lambda analysis: table_1(analysis.results),
    "3": table_3,
    "4": lambda analysis: table_4(analysis.results),
    "5": lambda analysis: table_5(analysis.results),
    "differences": differences_table,
    "metrics": metrics_table,
    "thresholds": thresholds_table,
    "groups": groups_table,
    "subgroups": subgroups_table,
    "shortcuts": shortcuts_table,
}
"""The paper's by number, the others by what they hold."""

PAPERS = ("1", "3", "4", "5")
"""Those of the paper."""

PRINTED = ("3", "4", "5")
"""What a run prints when it has ended."""


def analysis_tables(analysis: Analysis) -> dict[str, Table]:
    """Compute all of them that the data set gives."""
    return {name: table for name, make in TABLES.items() if (table := make(analysis)) is not None}


def run_tables(results: Results) -> dict[str, Table]:
    """Compute all of them that the data set gives."""
    return analysis_tables(Analysis(results))


def find_table(name: str, tables: Mapping[str, Table]) -> Table:
    """Return a table by its name here, or by that of its file: ``groups`` of BreakHis is ``accessions``.

    Raises:
        UsageError: There is none of that name.
    """
    by_name = {**{table.name: table for table in tables.values()}, **tables}
    if name not in by_name:
        raise UsageError(f"no table '{name}'{did_you_mean(name, by_name)} (there are {', '.join(by_name)})")
    return by_name[name]
