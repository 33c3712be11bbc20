"""A run in the formats that others read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Unpack

from harness.errors import UsageError, did_you_mean
from harness.reporting.export.facts import FORMATS, Facts, Format
from harness.reporting.export.shared_run import SharedRun
from harness.reporting.export.writing import Export, write_export
from harness.reporting.results import read_results
from harness.store.run_store import RunStore
from harness.store.study import read_study


def export_run(
    folder: Path | str, out: Path | str, formats: Iterable[Format] = FORMATS, **facts: Unpack[Facts]
) -> Export:
    """Write a run for others: its scores, its predictions of the test images, and who is in which fold.

    Args:
        folder: Of the run.
        out: Gets a folder for each format.
        formats: ``hugging-face``, ``every-eval-ever``, ``croissant``; all by default.
        **facts: What a run cannot know of itself; see :class:`~harness.reporting.export.facts.Facts`.

    Raises:
        UsageError: A fact that a format needs is not given or cannot be right, there is no such format, or the folder
            holds a study.
        DataError: As :func:`~harness.api.results.read_run`.
        EnvironmentMissingError: There is no room for it, or it may not be written.
    """
    wanted = list(formats)
    for how in wanted:
        if how not in FORMATS:
            raise UsageError(f"no format '{how}'{did_you_mean(how, FORMATS)} (there are {', '.join(FORMATS)})")
    if study := read_study(Path(folder)):
        runs = ", ".join(map(str, study.runs.values()))
        raise UsageError(f"{folder} holds a study - export one of its runs: {runs}")
    results = read_results(RunStore(Path(folder)))
    return write_export(SharedRun(Path(folder), results, facts), Path(out), wanted)
