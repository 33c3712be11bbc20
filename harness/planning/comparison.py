"""The comparison record: what must be equal for two results to share a table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from harness.data.facts import find_other_fact
from harness.errors import ComparisonError
from harness.planning.splits import Division
from harness.protocol.fingerprint import split_fingerprint
from harness.store.keys import first_difference
from harness.store.schema import ComparisonRecord


def comparison_parts(division: Division, found: Mapping[str, str]) -> ComparisonRecord:
    """Collect what decides whether two results may stand in one table."""
    config, used = division.config, division.images
    content = "\n".join(sorted(used["name"] + " " + used["sha256"]))
    return ComparisonRecord(
        protocol=division.protocol.name,
        group=division.protocol.group,
        data_set=division.data_set.name if config.data.table is None else "a table",
        classes=division.data_set.classes,
        data_options=config.data.options,
        seeds=list(config.seeds),
        folds=list(division.protocol.folds),
        images=hashlib.sha256(content.encode()).hexdigest(),
        splits=split_fingerprint(division.splits),
        on_damaged=config.data.on_damaged,
        pixels=config.pixels.model_dump(mode="json"),
        schedule=config.schedule.budget().model_dump(mode="json"),
        device_type=found["device_type"],
        precision=found["precision"],
        threads=config.threads,
        limit=config.limit,
    )


def refuse_other_facts(before: pd.DataFrame, now: pd.DataFrame, where: Path) -> None:
    """Refuse to add to a run whose images were said to be something else.

    Args:
        before: The manifest of the run.
        now: The manifest as it is now.
        where: The run folder.

    Raises:
        ComparisonError: The first image that differs, with what it was and is.
    """
    if fact := find_other_fact(before, now):
        raise ComparisonError(
            f"{where} holds results with {fact.column} = {fact.before} of {fact.image}, which is now {fact.now} (and "
            f"{fact.more} more images); they cannot share a table - choose another --out, or move the old cells aside "
            "with --fresh"
        )


def refuse_other_comparison(stored: ComparisonRecord, wanted: ComparisonRecord, where: Path) -> None:
    """Refuse to add to a run what cannot be compared with it.

    Raises:
        ComparisonError: The first part that differs, with both values.
    """
    if differs := first_difference(stored.to_json(), wanted.to_json()):
        part, before, now = differs
        raise ComparisonError(
            f"{where} holds results with {part} = {before}, this run has {now}; they cannot share a table - choose "
            "another --out, or move the old cells aside with --fresh"
        )
