"""Sentences about a run that every table of it must carry."""

from __future__ import annotations

from collections.abc import Mapping

from harness.config.data_settings import is_generated
from harness.data.description import plural
from harness.reporting.machines import by_machine
from harness.store.schema import SHARED_PARTS, DoneRecord, RunRecord


def protocol_notes(run: RunRecord) -> list[str]:
    """Say under which protocol a run was made, what leaks, and what its numbers cannot mean."""
    protocol, limit = run.protocol, run.comparison.limit
    seeds = ", ".join(map(str, run.config.seeds))
    notes = [f"Protocol {protocol.name}: {protocol.title}; seeds {seeds}."]
    if protocol.shared_groups:
        notes.append(f"{protocol.shared_groups} {plural(run.data_set.group)} have images on two sides.")
    notes += [f"LEAK: {leak}." for leak in run.leaks]
    if limit:
        notes.append(f"NOT COMPARABLE: limited to {limit} images per class and side.")
    if is_generated(run.config.data):
        notes.append("The images are generated; the numbers say nothing about breast cancer.")
    return notes


def library_versions(run: RunRecord, cells: Mapping[str, DoneRecord]) -> dict[str, list[str]]:
    """Return every version that a run or one of its cells was made with, by library."""
    found = {name: {version} for name, version in run.versions.items()}
    for record in cells.values():
        for name, version in record.versions.items():
            found.setdefault(name, set()).add(version)
    return {name: sorted(versions) for name, versions in found.items()}


def mixture_notes(run: RunRecord, cells: Mapping[str, DoneRecord]) -> list[str]:
    """Say in what the cells of a run differ that should have been made alike."""
    parts: dict[tuple[str, str], set[str]] = {}
    for record in cells.values():
        for name in SHARED_PARTS:
            parts.setdefault((record.model, name), set()).add(record.key_parts[name])
    libraries = library_versions(run, cells)
    mixed = [f"{name} {' and '.join(found)}" for name, found in libraries.items() if len(found) > 1]
    execution_modes = sorted({record.execution_mode for record in cells.values()} - {"none"})
    notes = [f"Mixed library versions: {', '.join(mixed)}."] if mixed else []
    for label in sorted({record.model for record in cells.values()}):
        mixed = [name for name in SHARED_PARTS if len(parts[label, name]) > 1]
        if mixed:
            notes.append(f"STALE: cells of {label} differ in {', '.join(mixed)}; run again.")
    machines = by_machine([record for record in cells.values() if record.scored is None])
    notes += [f"Mixed machines: {'; '.join(machines)}."] if len(machines) > 1 else []
    return notes + ([f"Mixed execution modes: {'; '.join(execution_modes)}."] if len(execution_modes) > 1 else [])
