"""Runs in which every cell is kept, found out from records and files: no plugin is imported, no image decoded.

Whatever these do not decide is left to :func:`~harness.planning.plan.prepare_run`, which imports the plugins.
"""

from __future__ import annotations

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.manifest import DAMAGED, sha256_of_file
from harness.errors import HarnessError
from harness.planning.cell_keys import ModelIdentity, cell_rows, key_parts, plan_cells
from harness.planning.comparison import comparison_parts
from harness.planning.image_set import ImageSet, scan_images
from harness.planning.observer import Observer
from harness.planning.sources import scan_source_set
from harness.planning.splits import divide
from harness.planning.staleness import PluginFiles, changes_since, given_settings
from harness.store.keys import what_changed
from harness.store.run_store import RunStore
from harness.store.schema import DoneRecord, RunRecord
from harness.training.auto import device_type_of, resolve_execution_mode


def kept_cells(config: RunConfig, store: RunStore, cache: Cache, observer: Observer) -> int | None:
    """Return how many cells a run of this config keeps if it keeps all; None where a cell must run, or may have to.

    Args:
        config: As asked for.
        store: The run's folder.
        cache: For generated images.
        observer: Is told how far it is.
    """
    try:
        run = store.read_run()
        if run is None or config.added_to(run.config) != run.config or store.find_damage(thorough=True):
            return None
        return _count(config, run, store, cache, observer)
    except (HarnessError, OSError):
        return None  # whatever is wrong, the whole preparation says so in its own place


def _count(config: RunConfig, run: RunRecord, store: RunStore, cache: Cache, observer: Observer) -> int | None:
    images = _without_damaged(scan_images(config, cache, observer.progress), store)
    division, device_type = divide(config, images), device_type_of(config.device)
    if device_type is None:
        return None
    precision = run.comparison.precision  # the schedule and the type of device, which it depends on, are the same
    if comparison_parts(config, division, device_type, precision) != run.comparison:
        return None
    done, plugins = store.read_done(), PluginFiles()
    sources = {label: _identity(label, config, done, plugins, cache) for label in config.models}
    found = {
        "execution_mode": resolve_execution_mode(config.schedule.execution_mode, device_type),
        "precision": precision,
        "device_type": device_type,
    }
    cells = plan_cells(list(config.models), config, division.protocol.folds)
    for cell in cells:
        record, identity = done.get(cell.name), sources[cell.label]
        if record is None or identity is None:
            return None
        if what_changed(record.key_parts, key_parts(identity, cell, cell_rows(division, cell), config, found)):
            return None
    return len(cells)


def _without_damaged(images: ImageSet, store: RunStore) -> ImageSet:
    """Mark the images that were damaged when the run was made; other files have other checksums."""
    before, manifest = store.read_manifest(), images.manifest
    damaged = before.loc[before["state"] == DAMAGED, "sha256"]
    bad = manifest["sha256"].isin(damaged) & (manifest["state"] == "used")
    return ImageSet(images.folder, manifest.assign(state=manifest["state"].mask(bad, DAMAGED)))


def _identity(
    label: str, config: RunConfig, done: dict[str, DoneRecord], plugins: PluginFiles, cache: Cache
) -> ModelIdentity | None:
    """Return what a model adds to the keys of its cells; None where its record and its files do not tell."""
    record = next((record for record in done.values() if record.model == label), None)
    if record is None or record.given != given_settings(config, label) or record.starts_from is None:
        return None
    if changes_since(config, record, plugins):
        return None
    starts_from = record.starts_from
    if any(sha256_of_file(file) != digest for file, digest in starts_from.paths()):
        return None
    if any(
        scan_source_set(name, label, config, cache).fingerprint != fingerprint
        for name, fingerprint in starts_from.sources.items()
    ):
        return None
    parts = record.key_parts
    return ModelIdentity(parts["plugin"], parts["options"], parts["starts from"])
