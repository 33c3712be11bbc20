"""Records of a run that is computed in shards, and of one that was put together of several."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from harness.durable import write_json, write_once
from harness.errors import DataError, UsageError
from harness.store.json_files import read_json
from harness.store.record import Count, R, Record, read_record
from harness.store.schema import ComparisonRecord

SHARD_FILE = "shard.json"
MERGED_FILE = "merged.json"

_SCHEMA_VERSION = 1
_MOST_SHARDS = 100_000
_Number = Annotated[int, Field(ge=1, le=_MOST_SHARDS)]


@dataclass(frozen=True)
class Shard:
    """One of several parts of a run's cells, such as 2 of 4.

    Attributes:
        number: From 1.
        count: How many there are.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @staticmethod
    def parse(text: str) -> Shard:
        """Read ``2/4``.

        Raises:
            UsageError: It is no such thing.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        shard = Shard(*map(int, found.groups())) if found else None
        if shard is None or not 1 <= shard.number <= shard.count <= _MOST_SHARDS:
            raise UsageError(f"--shard {text} is no shard - the second of four is 2/4")
        return shard

    def folder(self, run: Path) -> Path:
        """Return the folder of the shard beside that of the whole run."""
        return run.with_name(f"{run.name}-{self.number}-of-{self.count}")


class ShardPlan(Record):
    """What every shard of a run holds to; written once, before the first cell of the first shard.

    Attributes:
        schema_version: Of the record.
        shards: How many there are.
        comparison: What decides the comparison; the digest of the images, and the device type and precision that
            ``auto`` stands for, are in it.
        execution_mode: What ``auto`` stands for.
        models: By label, the parts of a cell's key that its plugin, options and weights make.
        versions: Of the libraries; whether a shard must have the same, its config says.
        cells: Hash of the keys of all cells.
    """

    schema_version: Count = _SCHEMA_VERSION
    shards: _Number
    comparison: ComparisonRecord
    execution_mode: str
    models: dict[str, dict[str, str]]
    versions: dict[str, str]
    cells: str

    def facts(self) -> dict[str, Any]:
        """Return all but the versions under a name for people, in the order in which a difference is best named."""
        return {
            **self.comparison.to_json(),
            "execution mode": self.execution_mode,
            **{f"{part} of {label}": value for label, parts in self.models.items() for part, value in parts.items()},
            "keys of all cells": self.cells,
        }


class ShardRecord(Record):
    """``shard.json`` of a run folder that holds a shard.

    Attributes:
        schema_version: Of the record.
        number: Of the shard, from 1.
        plan: What it holds to.
    """

    schema_version: Count = _SCHEMA_VERSION
    number: _Number
    plan: ShardPlan


class MergedRun(Record):
    """A run folder that a merged one was put together of.

    Attributes:
        folder: Where it lay.
        device: What the run was made on.
        versions: Of the libraries.
        git_commit: Of the working folder.
        shard: Its number, if it was a shard.
        shards: How many there were.
        plan: Hash of what they held to.
    """

    folder: str
    device: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None
    shard: _Number | None = None
    shards: _Number | None = None
    plan: str | None = None


class CellOrigin(Record):
    """Where a cell of a merged run was computed.

    Attributes:
        folder: The run folder that it was taken from.
        host: The machine that computed it; None where that was not recorded.
        sha256: Of its record; a cell that has been computed again since has another.
    """

    folder: str
    host: str | None
    sha256: str | None


class MergeRecord(Record):
    """``merged.json`` of a run folder that was put together of several.

    Attributes:
        schema_version: Of the record.
        runs: The folders, in the order in which they were taken.
        cells: Where each cell was computed, by its name.
    """

    schema_version: Count = _SCHEMA_VERSION
    runs: list[MergedRun] = Field(default_factory=list)
    cells: dict[str, CellOrigin] = Field(default_factory=dict)

    def missing_shards(self) -> list[str]:
        """Name the shards of which no folder was taken, ``2/3`` each."""
        counts = {run.plan: run.shards for run in self.runs if run.plan is not None and run.shards is not None}
        there = {(run.plan, run.shard) for run in self.runs}
        return [
            f"{number}/{count}"
            for plan, count in counts.items()
            for number in range(1, count + 1)
            if (plan, number) not in there
        ]


def settle_plan(file: Path, plan: ShardPlan) -> ShardPlan:
    """Write a plan unless there is one already, and return the one that stands.

    Raises:
        DataError: What is there cannot be read.
        EnvironmentMissingError: It cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_once(file, json.dumps(plan.to_json(), indent=1) + "\n")
    return read_plan(file) or plan


def read_plan(file: Path) -> ShardPlan | None:
    """Return the plan in a file; None where there is none.

    Raises:
        DataError: It cannot be read.
    """
    return _read(ShardPlan, file)


def read_shard(folder: Path) -> ShardRecord | None:
    """Return which shard a run folder holds; None where it holds none.

    Raises:
        DataError: Its record cannot be read.
    """
    return _read(ShardRecord, folder / SHARD_FILE)


def write_shard(folder: Path, record: ShardRecord) -> None:
    """Say which shard a run folder holds."""
    write_json(folder / SHARD_FILE, record.to_json())


def read_merge(folder: Path) -> MergeRecord | None:
    """Return what a run folder was put together of; None where it was not.

    Raises:
        DataError: Its record cannot be read.
    """
    return _read(MergeRecord, folder / MERGED_FILE)


def write_merge(folder: Path, record: MergeRecord) -> None:
    """Say what a run folder was put together of."""
    write_json(folder / MERGED_FILE, record.to_json())


def _read(kind: type[R], file: Path) -> R | None:
    values = read_json(file)
    if values is None:
        return None
    version = values.get("schema_version")
    if isinstance(version, int) and version > _SCHEMA_VERSION:
        raise DataError(f"{file} was written by a later version of the harness - update the harness")
    return read_record(kind, values, file)
