"""Reports of runs: one HTML file each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal

from harness.cache import Cache
from harness.durable import replace_text
from harness.errors import UsageError
from harness.locations import cache_folder
from harness.planning.observer import Observer
from harness.reporting.comparison import Margins, compare_runs, comparison_table
from harness.reporting.gallery import choose_images
from harness.reporting.report.page import Report, Study, render_page
from harness.reporting.report.section import Gallery, make_section
from harness.reporting.report.study_chart import leak_picture
from harness.reporting.report.templating import FILE
from harness.reporting.results import Results, read_results
from harness.reporting.study import study_table
from harness.reporting.table import Table
from harness.store.run_store import RunStore
from harness.store.schema import FailedRecord
from harness.store.study import Study as StoredStudy
from harness.store.study import read_study

Images = Literal["all", "none"]


def report(
    runs: Sequence[Path | str],
    out: Path | str | None = None,
    images: Images = "all",
    observer: Observer | None = None,
) -> Path:
    """Write a report of runs: tables, charts, images, and how all of it was made, in one HTML file.

    On systems that start processes anew a script that calls this needs the usual ``__main__`` guard.

    Args:
        runs: Folders of runs, or the folder of one study.
        out: The file; ``report.html`` in the first folder by default.
        images: ``none`` leaves the gallery out. What is shown comes from the data, which are no part of a run folder.
        observer: Is told of what takes time.

    Returns:
        The file.

    Raises:
        DataError: There is no run, none of its cells is finished, or one is damaged.
        UsageError: No run was given, or several with a study among them.
    """
    folders = [Path(run) for run in runs]
    if not folders:
        raise UsageError("no run to report on - name a run folder")
    stored = {folder: study for folder in folders if (study := read_study(folder)) is not None}
    if stored and len(folders) > 1:
        raise UsageError(f"{next(iter(stored))} holds a study, which is reported on by itself - or name its runs")
    study = stored.get(folders[0])
    named = dict(study.runs) if study else _names(folders)
    results = {name: read_results(RunStore(folder)) for name, folder in named.items()}
    watched = observer or Observer()
    cache = Cache(cache_folder(), watched.note)
    sections = [
        make_section(
            f"r{number}-",
            name,
            results[name],
            _gallery(named[name], results[name], images, cache, watched),
            _failures(named[name]),
        )
        for number, name in enumerate(named, 1)
    ]
    title = folders[0].resolve().name if study else ", ".join(named)
    page = Report(title, sections, _study(study, results), [] if study else list(_changes(results)))
    file = Path(out) if out else folders[0] / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, render_page(page))
    return file


def _names(folders: Sequence[Path]) -> dict[str, Path]:
    """Name runs by their folders, by more of the path where two are called the same."""
    whole = [folder.resolve() for folder in folders]
    if len(set(whole)) < len(whole):
        raise UsageError("a run is named twice")
    for depth in range(1, max(len(folder.parts) for folder in whole) + 1):
        names = ["/".join(folder.parts[-depth:]) for folder in whole]
        if len(set(names)) == len(names):
            return dict(zip(names, folders, strict=True))
    raise UsageError("these run folders cannot be told apart")


def _gallery(folder: Path, results: Results, images: Images, cache: Cache, observer: Observer) -> Gallery:
    if images == "none":
        return Gallery(reason="No images: the report was made without them.")
    from harness.api.pictures import gallery  # noqa: PLC0415 - torch, for whoever wants images

    return gallery(folder, results, choose_images(results), cache, observer.progress)


def _failures(folder: Path) -> list[str]:
    """Say of each model with failed cells how many there are, and why the first has failed."""
    found: dict[str, list[str]] = {}
    for record in RunStore(folder).read_cells().values():
        if isinstance(record, FailedRecord):
            found.setdefault(record.model, []).append(record.error.reason)
    return [f"{label}, {len(reasons)} cells: {reasons[0]}" for label, reasons in found.items()]


def _changes(results: dict[str, Results]) -> Iterator[Table]:
    """Compare runs of one comparison, each with each."""
    for (base, one), (new, other) in combinations(results.items(), 2):
        if one.run.comparison == other.run.comparison and set(one.labels) & set(other.labels):
            shared = [label for label in one.labels if label in other.labels]
            table = comparison_table(compare_runs(one, other, Margins(), shared))
            yield Table(**{**vars(table), "title": f"{table.title}: from {base} to {new}"})


def _study(study: StoredStudy | None, results: dict[str, Results]) -> Study | None:
    if study is None:
        return None
    table = study_table(study, results)[1]
    return Study(table, leak_picture(table) if study.kind == "protocols" else None)
