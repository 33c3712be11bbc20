"""Runs in which every cell is kept, found out from records and files: no plugin is imported, no image decoded.

Whatever these do not decide is left to :func:`~harness.planning.plan.prepare_run`, which imports the plugins.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.manifest import DAMAGED, sha256_of_file
from harness.errors import HarnessError
from harness.planning.cell_keys import ModelIdentity, cell_keys, plan_cells, resolved
from harness.planning.comparison import comparison_parts
from harness.planning.image_set import ImageSet, mark_damaged, scan_images
from harness.planning.observer import Observer
from harness.planning.sources import scan_source_set
from harness.planning.splits import divide
from harness.planning.staleness import PluginFiles, changes_since, given_settings
from harness.plugin_api.installed import wanted_plugins
from harness.store.cells import Cell
from harness.store.keys import what_changed
from harness.store.run_store import RunStore
from harness.store.schema import CellRecord, DoneRecord, RunRecord
from harness.training.auto import device_type_of


@dataclass(frozen=True)
class KeptCells:
    """The cells of a run in which none must be computed.

    Attributes:
        planned: How many the config plans.
        records: Of all cells in the run folder, held against their checksums.
    """

    planned: int
    records: Mapping[str, CellRecord]


def kept_cells(config: RunConfig, store: RunStore, cache: Cache, observer: Observer) -> KeptCells | None:
    """Return the cells of a run of this config if it keeps all of them; None where one must run, or may have to.

    Args:
        config: As asked for.
        store: The run's folder.
        cache: For generated images.
        observer: Is told how far it is.
    """
    try:
        run = store.read_run()
        if run is None:
            return None
        config = config.model_copy(update={"strata": config.strata or tuple(run.data_set.strata)})
        cells = plan_cells(config.models, config, run.comparison.folds)
        if not store.names_of_cells().issuperset(cell.name for cell in cells):
            return None
        config = _with_options_of(config, run.config)
        if config.added_to(run.config, run.data_set.strata) != run.config or run.plugins != wanted_plugins():
            return None
        records = store.read_cells()
        planned = {cell: records.get(cell.name) for cell in cells}
        done = {cell: record for cell, record in planned.items() if isinstance(record, DoneRecord)}
        if len(done) < len(cells) or not _are_as_planned(done, config, run, store, cache, observer):
            return None
        return KeptCells(len(cells), records)
    except (HarnessError, OSError):
        return None  # whatever is wrong, the whole preparation says so in its own place


def _with_options_of(config: RunConfig, before: RunConfig) -> RunConfig:
    """Fill in the options of the data set as they were resolved; whether they still are is seen from the images."""
    data = config.data.model_copy(update={"options": {**before.data.options, **config.data.options}})
    return config.model_copy(update={"data": data})


def _are_as_planned(
    done: Mapping[Cell, DoneRecord],
    config: RunConfig,
    run: RunRecord,
    store: RunStore,
    cache: Cache,
    observer: Observer,
) -> bool:
    """Whether the run folder is what this config would make of the images, plugins, weights and source sets of now.

    What costs least is looked at first: images and cells are read whole at the end.
    """
    plugins, device_type = PluginFiles(), device_type_of(config.device)
    records = {cell.label: record for cell, record in done.items()}
    identities = {label: _identity(config, record, plugins) for label, record in records.items()}
    if device_type is None or None in identities.values():
        return False
    if not _are_sources_the_same(records, config, cache):
        return False
    images = _scan_undamaged(config, store, cache, observer)
    if images is None:
        return False
    before, found = store.read_manifest(), resolved(config, device_type)
    division = divide(mark_damaged(images, before.loc[before["state"] == DAMAGED, "sha256"]))
    if comparison_parts(division, found) != run.comparison or division.data_set != run.data_set:
        return False
    if not store.holds(division.manifest, division.splits):
        return False
    keys = cell_keys({label: one for label, one in identities.items() if one is not None}, division, found)
    return not any(what_changed(record.key_parts, keys[cell]) for cell, record in done.items())


def _scan_undamaged(config: RunConfig, store: RunStore, cache: Cache, observer: Observer) -> ImageSet | None:
    """Scan the images, and read the run's cells whole meanwhile; return None where a cell is damaged."""
    beside = ThreadPoolExecutor(1)  # the scan waits for the process of the data set most of the time
    try:
        faults = beside.map(partial(store.fault_of, thorough=True), store.names_of_cells())
        images = scan_images(config, cache, observer.progress)
        return None if any(faults) else images
    finally:
        beside.shutdown(cancel_futures=True)


def _identity(config: RunConfig, record: DoneRecord, plugins: PluginFiles) -> ModelIdentity | None:
    """Return what a model adds to the keys of its cells; None where its record and its files do not tell.

    Args:
        config: As asked for.
        record: Of one of the model's cells.
        plugins: The files of plugins.
    """
    given, starts_from, parts = given_settings(config, record.model), record.starts_from, record.key_parts
    if record.given is None or given.plugin != record.given.plugin or starts_from is None:
        return None
    if changes_since(config, record, plugins):
        return None
    for file, digest in starts_from.files.items():
        # a file that no option names is found by the plugin, perhaps elsewhere today
        if file not in given.options.values() or sha256_of_file(Path(file)) != digest:
            return None
    return ModelIdentity(parts["plugin"], parts["options"], parts["starts from"])


def _are_sources_the_same(records: dict[str, DoneRecord], config: RunConfig, cache: Cache) -> bool:
    """Whether the source sets that models start from have the fingerprints of then; each set is read once."""
    starts = {label: record.starts_from.sources for label, record in records.items() if record.starts_from is not None}
    askers = {name: label for label, sources in starts.items() for name in sources}
    now = {name: scan_source_set(name, label, config, cache).fingerprint for name, label in askers.items()}
    return all(now[name] == then for sources in starts.values() for name, then in sources.items())
