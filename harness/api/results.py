"""Results of runs: data frames, tables, comparison, status."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.planning.status import RunStatus, read_status
from harness.reporting.comparison import Comparison, Margins, compare_runs
from harness.reporting.results import Results, read_results
from harness.reporting.run_tables import run_tables
from harness.reporting.table import Table
from harness.store.run_folder import RunFolder
from harness.store.run_store import RunStore


def read_run(folder: Path | str) -> Results:
    """Read what a run has found: predictions, histories and splits as data frames, cells as records.

    Raises:
        DataError: There is no run, none of its cells is finished, or one is damaged.
    """
    return read_results(RunStore(Path(folder)))


def tables(folder: Path | str) -> dict[str, Table]:
    """Compute the tables of a run, by name (``3``, ``differences``, ...); nothing is written.

    Raises:
        DataError: As :func:`read_run`.
    """
    return run_tables(read_run(folder))


def compare(
    base: Path | str, new: Path | str, margins: Margins | None = None, models: Sequence[str] | None = None
) -> Comparison:
    """Say what got better or worse from one run to another of the same comparison.

    Args:
        base: Folder of the run to compare with.
        new: Folder of the other.
        margins: Changes that do not matter.
        models: The only models to compare.

    Raises:
        ComparisonError: They are no runs of one comparison.
        UsageError: The base has no such model.
        DataError: As :func:`read_run`.
    """
    return compare_runs(read_run(base), read_run(new), margins or Margins(), models)


def status(folder: Path | str) -> RunStatus:
    """Say what of a run is done, running, failed or stale, and why.

    Raises:
        DataError: There is no run.
    """
    return read_status(RunFolder(Path(folder)))
