"""Run folders of one comparison, put together into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.facts import find_other_fact
from harness.errors import ComparisonError, DataError
from harness.store.keys import first_difference, hash_of, what_changed
from harness.store.run_store import RunStore
from harness.store.schema import SCHEMA_VERSION, SHARED_PARTS, CellRecord, DoneRecord, RunRecord
from harness.store.shards import (
    CellOrigin,
    MergedRun,
    MergeRecord,
    ShardRecord,
    read_merge,
    read_shard,
    write_merge,
)


@dataclass(frozen=True)
class MergeSource:
    """A run folder that is to be put together with others.

    Attributes:
        store: The folder.
        run: Its ``run.json``.
        cells: The records of its cells, by name.
        shard: Which shard it holds, if it holds one.
        before: What it was put together of itself.
    """

    store: RunStore
    run: RunRecord
    cells: dict[str, CellRecord]
    shard: ShardRecord | None
    before: MergeRecord | None

    @staticmethod
    def read(folder: Path) -> MergeSource:
        """Read a run folder.

        Raises:
            DataError: There is no run in it, or a cell is damaged or in another's place.
            ComparisonError: A cell of it belongs to another comparison.
        """
        store = RunStore(folder)
        run = store.require_run()
        cells = store.read_sound()
        for name, record in cells.items():
            if name != record.cell.name:
                raise DataError(f"the folder {name} in {folder} holds another cell, of {record.model} - remove it")
            if record.comparison_key not in {run.comparison_key, *run.former_comparison_keys}:
                raise ComparisonError(f"cell {name} in {folder} belongs to another comparison than its run - remove it")
        return MergeSource(store, run, cells, read_shard(folder), read_merge(folder))

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.store.folder

    def merged_runs(self) -> list[MergedRun]:
        """Return what it was put together of: itself, if of nothing else."""
        if self.before is not None:
            return self.before.runs
        of_shard = (
            {}
            if self.shard is None
            else {
                "shard": self.shard.number,
                "shards": self.shard.plan.shards,
                "plan": hash_of(self.shard.plan.to_json()),
            }
        )
        known = {name: getattr(self.run, name) for name in ("device", "versions", "git_commit")}
        return [MergedRun.model_validate({"folder": str(self.folder), **known, **of_shard})]

    def origin(self, cell: str) -> CellOrigin:
        """Return where a cell was computed."""
        record = self.cells[cell]
        known = self.before.cells.get(cell) if self.before else None
        if known is not None and known.sha256 == record.sha256:
            return known
        return CellOrigin(folder=str(self.folder), host=record.device.get("host"), sha256=record.sha256)


@dataclass(frozen=True)
class Merge:
    """What putting run folders together comes to.

    Attributes:
        first: The folder that the others are added to.
        run: ``run.json`` of the whole.
        cells: The folder that each cell is taken from, by the cell's name; one that stays in its place as well.
        again: Finished cells that stood in another folder too, the same, by name.
        record: ``merged.json`` of the whole.
    """

    first: MergeSource
    run: RunRecord
    cells: dict[str, MergeSource]
    again: list[str]
    record: MergeRecord


def plan_merge(sources: Sequence[MergeSource], into: MergeSource | None = None) -> Merge:
    """Find out what run folders come to together; nothing is written.

    Args:
        sources: The folders, in any order if they are shards.
        into: The folder that they are added to, if it holds a run already.

    Raises:
        ComparisonError: They are no runs of one comparison, or a cell or model of one differs from another's.
    """
    ordered = sorted(sources, key=lambda source: source.shard.number if source.shard else 0)
    first, *others = ordered = [*([into] if into else []), *ordered]
    for other in others:
        _refuse_other_comparison(first, other)
    if conflicts := list(_conflicts(ordered)):
        raise ComparisonError(
            f"{len(conflicts)} cells conflict, and nothing is written: {'; '.join(conflicts)} - leave a folder out, "
            "or remove the cell that is wrong from its folder"
        )
    _refuse_other_models(ordered)
    cells: dict[str, MergeSource] = {}
    again: list[str] = []
    for source in ordered:
        for name, record in source.cells.items():
            if isinstance(record, DoneRecord) and name in cells and _is_done(cells[name], name):
                again.append(name)
            elif name not in cells or isinstance(record, DoneRecord):
                cells[name] = source
    runs = {merged.folder: merged for source in ordered for merged in source.merged_runs()}
    origins = {name: source.origin(name) for name, source in sorted(cells.items())}
    return Merge(first, _whole_run(ordered), cells, again, MergeRecord(runs=list(runs.values()), cells=origins))


def write_merged(merge: Merge, store: RunStore) -> int:
    """Write what run folders come to into a folder that is open for writing, and return how many cells were copied.

    Raises:
        DataError: A cell is damaged; those before it are kept, and the same command goes on.
        EnvironmentMissingError: There is no room.
    """
    first = merge.first.store
    store.sweep()
    if merge.run != store.read_run():
        store.write_run(merge.run, first.read_manifest(), first.read_splits())
    write_merge(store.folder, merge.record)
    copied = 0
    for name, source in sorted(merge.cells.items()):
        if source.folder != store.folder:
            store.copy_cell(name, source.folder / "cells" / name)
            copied += 1
    return copied


def _whole_run(sources: Sequence[MergeSource]) -> RunRecord:
    """Return the record of the run that several are together; how the first was made stays as it is recorded."""
    first = sources[0].run
    config, former = first.config, set(first.former_comparison_keys)
    for source in sources[1:]:
        config = config.with_rows_of(source.run.config, first.data_set.strata)
        former |= {*source.run.former_comparison_keys, source.run.comparison_key}
    return first.model_copy(
        update={
            "schema_version": SCHEMA_VERSION,
            "config": config,
            "strata": list(config.chosen_strata),
            "former_comparison_keys": sorted(former - {first.comparison_key}),
        }
    )


def _refuse_other_comparison(first: MergeSource, other: MergeSource) -> None:
    if differs := first_difference(first.run.comparison.to_json(), other.run.comparison.to_json()):
        part, there, here = differs
        raise ComparisonError(
            f"{other.folder} is of another comparison: its {part} is {here}, and {there} in {first.folder}; they "
            "cannot share a table, and nothing is written"
        )
    if fact := find_other_fact(first.store.read_manifest(), other.store.read_manifest()):
        raise ComparisonError(
            f"{other.folder} says {fact.column} = {fact.now} of {fact.image}, and {first.folder} {fact.before} (and "
            f"{fact.more} more images differ); they cannot share a table, and nothing is written"
        )


def _conflicts(sources: Sequence[MergeSource]) -> Iterator[str]:
    """Say of each cell that is finished in two folders and not the same, which and in what it differs."""
    first: dict[str, MergeSource] = {}
    for source in sources:
        for name, record in source.cells.items():
            if not isinstance(record, DoneRecord):
                continue
            before = first.setdefault(name, source)
            if before is not source and (words := _difference(name, before, source)):
                yield f"{name} ({words} in {before.folder} and {source.folder})"


def _difference(name: str, before: MergeSource, now: MergeSource) -> str:
    """Say in what a finished cell differs between two folders; empty for one that is the same."""
    one, other = before.cells[name], now.cells[name]
    if one.model != other.model:
        return f"of {one.model} and of {other.model}"
    if changed := what_changed(one.key_parts, other.key_parts) or what_changed(other.key_parts, one.key_parts):
        return f"another key: {', '.join(changed)} differ"
    files = [source.folder / "cells" / name / "predictions.parquet" for source in (before, now)]
    if files[0].read_bytes() == files[1].read_bytes():
        return ""
    tables = [source.store.read_predictions([name], source.run.data_set.classes) for source in (before, now)]
    return "" if tables[0].equals(tables[1]) else "other predictions"


def _refuse_other_models(sources: Sequence[MergeSource]) -> None:
    """Refuse one label for models of different code, options or weights: their cells would make one row.

    Raises:
        ComparisonError: There is such a label.
    """
    first: dict[str, tuple[MergeSource, CellRecord]] = {}
    for source in sources:
        for record in source.cells.values():
            if not isinstance(record, DoneRecord):
                continue
            before, known = first.setdefault(record.model, (source, record))
            differ = [part for part in SHARED_PARTS if known.key_parts[part] != record.key_parts[part]]
            if differ and before is not source:
                raise ComparisonError(
                    f"model '{record.model}' of {source.folder} is not that of {before.folder}: {', '.join(differ)} "
                    "differ; nothing is written - compute one of them again, or under another label"
                )


def _is_done(source: MergeSource, cell: str) -> bool:
    return isinstance(source.cells[cell], DoneRecord)
