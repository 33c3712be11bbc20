"""Run folders of one comparison, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cache import Cache
from harness.errors import DataError, UsageError
from harness.locations import cache_folder
from harness.planning.cell_keys import plan_cells
from harness.planning.labels import refuse_folders_that_cannot_be
from harness.planning.observer import Observer
from harness.reporting.publish import publish
from harness.reporting.table import Table
from harness.store.merge import Merge, MergeSource, plan_merge, write_merged
from harness.store.run_store import RunStore
from harness.store.schema import DoneRecord, FailedRecord


@dataclass(frozen=True)
class MergeResult:
    """What a call of :func:`merge` has come to.

    Attributes:
        folder: Of the merged run.
        copied: Cells that were copied into it.
        kept: Cells that were in it already.
        again: Names of finished cells that several folders had, the same.
        failures: Why cells have failed, by name; a folder in which they are finished would take their place.
        missing: Names of cells that no folder has.
        missing_shards: Shards of which no folder was given, ``2/3`` each.
        absent: Folders that were given and hold no run.
        tables: The tables that were written, by name; none before a cell is finished.
    """

    folder: Path
    copied: int
    kept: int
    again: list[str]
    failures: dict[str, str]
    missing: list[str]
    missing_shards: list[str]
    absent: list[Path]
    tables: dict[str, Table] = field(default_factory=dict)

    @property
    def is_partial(self) -> bool:
        """True where cells of the run are missing or have failed, or a folder that was given holds no run."""
        return bool(self.missing or self.failures or self.absent)


def merge(out: Path | str, runs: Sequence[Path | str], observer: Observer | None = None) -> MergeResult:
    """Put run folders of one comparison together: shards of a run, or runs of different models.

    Cells that several folders have are taken once if they are the same. Nothing is written where one differs. A folder
    without a run, such as that of a shard that has not begun, is named in the result.

    Args:
        out: Run folder of the whole; it may hold a run of the same comparison already, to which the others are added.
        runs: Run folders, which stay as they are.
        observer: Is told of what a person should know.

    Raises:
        ComparisonError: They are no runs of one comparison, or cells or models of one name are not the same.
        UsageError: No folder is given, or another process is at work in ``out``.
        DataError: No folder holds a run, or a cell is damaged.
    """
    watched, store = observer or Observer(), RunStore(Path(out).absolute())
    folders = _distinct(runs, store, watched)
    absent = [folder for folder in folders if not _holds_run(folder)]
    if absent == folders:
        raise DataError(f"no run in {', '.join(map(str, absent))}: run.json is not there")
    sources = [MergeSource.read(folder) for folder in folders if folder not in absent]
    if not _holds_run(store.folder):
        plan_merge(sources)  # a refusal leaves no folder behind
    with store.open_for_writing():
        into = MergeSource.read(store.folder) if _holds_run(store.folder) else None
        planned = plan_merge(sources, into)
        refuse_folders_that_cannot_be(list(planned.run.config.models))
        copied = write_merged(planned, store)
        tables = publish(store, Cache(cache_folder(), watched.note)) if store.read_done() else {}
    return _result(planned, store, copied, absent, tables)


def _holds_run(folder: Path) -> bool:
    return (folder / "run.json").exists()


def _distinct(runs: Sequence[Path | str], store: RunStore, observer: Observer) -> list[Path]:
    """Return every folder once, without that of the merged run.

    Raises:
        UsageError: None is left.
    """
    given = [Path(run).absolute() for run in runs]
    found = {folder.resolve(): folder for folder in given if folder.resolve() != store.folder.resolve()}
    for folder in dict.fromkeys(folder for folder in given if given.count(folder) > 1):
        observer.note(f"{folder} is given twice, and taken once")
    if not found:
        raise UsageError(f"nothing to put together - give the run folders that {store.folder} is to hold")
    return list(found.values())


def _result(merge: Merge, store: RunStore, copied: int, absent: list[Path], tables: dict[str, Table]) -> MergeResult:
    run, cells = merge.run, store.read_cells()
    planned = [cell.name for cell in plan_cells(run.config.models, run.config, run.comparison.folds)]
    failed = {name: record.error.reason for name, record in cells.items() if isinstance(record, FailedRecord)}
    done = {name for name, record in cells.items() if isinstance(record, DoneRecord)}
    return MergeResult(
        store.folder,
        copied,
        len(cells) - copied,
        merge.again,
        failed,
        [name for name in planned if name not in done and name not in failed],
        merge.record.missing_shards(),
        absent,
        tables,
    )
