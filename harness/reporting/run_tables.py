"""The tables of a run, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.reporting.accuracy import table_3
from harness.reporting.analysis import Analysis
from harness.reporting.detail_tables import differences_table, metrics_table, shortcuts_table, thresholds_table
from harness.reporting.paper_tables import table_1, table_4, table_5
from harness.reporting.patient_tables import accessions_table, slides_table
from harness.reporting.results import Results
from harness.reporting.table import Table

TABLES: Mapping[str, Callable[[Analysis], Table]] = {
    "1": lambda analysis: table_1(analysis.results),
    "3": table_3,
    "4": lambda analysis: table_4(analysis.results),
    "5": lambda analysis: table_5(analysis.results),
    "differences": differences_table,
    "metrics": metrics_table,
    "thresholds": thresholds_table,
    "accessions": accessions_table,
    "slides": slides_table,
    "shortcuts": shortcuts_table,
}
"""The paper's by number, the others by what they hold."""

PAPERS = ("1", "3", "4", "5")
"""Those of the paper."""

PRINTED = ("3", "4", "5")
"""What a run prints when it has ended."""


def run_tables(results: Results) -> dict[str, Table]:
    """Compute all of them."""
    analysis = Analysis(results)
    return {name: make(analysis) for name, make in TABLES.items()}
