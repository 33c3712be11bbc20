"""The record of a run: ``run.json``."""

from __future__ import annotations

from typing import Any

from harness.planning.splits import Division
from harness.plugin_api.installed import wanted_plugins
from harness.store.keys import hash_of
from harness.store.schema import SCHEMA_VERSION, ComparisonRecord, ProtocolRecord, RunRecord
from harness.training.devices import git_commit, versions


def run_record(name: str, division: Division, comparison: ComparisonRecord, device: dict[str, Any]) -> RunRecord:
    """Return the record of a run.

    Args:
        name: Of the config.
        division: Who is where, and the config as resolved.
        comparison: What decides the comparison.
        device: What the run is made on.
    """
    protocol, config = division.protocol, division.config
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        name=name,
        config=config,
        data_set=division.data_set,
        strata=list(config.chosen_strata),
        protocol=ProtocolRecord(
            name=protocol.name,
            title=protocol.title,
            cross_validates=protocol.cross_validates,
            shared_groups=division.shared_groups,
        ),
        leaks=[str(leak) for leak in division.leaks],
        leaky=bool(division.leaks) or protocol.leaks,
        comparison=comparison,
        comparison_key=hash_of(comparison.to_json()),
        device=device,
        versions=versions(),
        plugins=wanted_plugins(),
        git_commit=git_commit(),
    )


def added_to(run: RunRecord, stored: RunRecord | None) -> RunRecord:
    """Return a run's record for a folder that may hold a run: models and strata that were in it stay in it."""
    if stored is None:
        return run
    config = run.config.added_to(stored.config, run.data_set.strata)
    former = {*stored.former_comparison_keys, stored.comparison_key} - {run.comparison_key}
    return run.model_copy(
        update={"config": config, "strata": list(config.chosen_strata), "former_comparison_keys": sorted(former)}
    )
