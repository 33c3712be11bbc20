"""Staleness of finished cells: what has changed since.

A run compares keys (:func:`pending_cells`), for which its plugins are imported. What only reads a run folder compares
records with files (:func:`changes_since`), and imports none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from harness.config.run_config import RunConfig
from harness.planning.cell_keys import plugin_part
from harness.plugin_api.source_hash import file_digests, own_files, source_hash
from harness.store.cells import Cell
from harness.store.keys import what_changed
from harness.store.schema import CellRecord, DoneRecord, GivenRecord, PluginRecord
from harness.training.version import TRAINING_VERSION


def pending_cells(keys: Mapping[Cell, Mapping[str, str]], stored: Mapping[str, CellRecord]) -> list[Cell]:
    """List the planned cells that are missing, failed or stale."""
    return [
        cell
        for cell, parts in keys.items()
        if not isinstance(record := stored.get(cell.name), DoneRecord) or what_changed(record.key_parts, parts)
    ]


class PluginFiles:
    """The files of plugins and their distributions as they are now; each is read once, however many cells have it."""

    def __init__(self) -> None:
        self._sources: dict[str, str | None] = {}
        self._installed: dict[str, str] = {}

    def are_as_recorded(self, record: DoneRecord) -> bool:
        """Whether what a cell's plugin was imported from is what it was."""
        plugin = record.plugin
        now = plugin_part(self._source(plugin), self._installed_version(plugin.distribution), plugin.model)
        return record.key_parts["plugin"] == now

    def is_installed(self, distribution: str) -> bool:
        """Whether the distribution of a plugin is there; a plugin file is wherever the run was told it is."""
        return distribution != "file" and " " in self._installed_version(distribution)

    def _installed_version(self, distribution: str) -> str:
        if distribution not in self._installed:
            self._installed[distribution] = _installed_version(distribution)
        return self._installed[distribution]

    def _source(self, plugin: PluginRecord) -> str | None:
        package = next(iter(plugin.files), "").partition(".")[0]
        if package not in self._sources:
            files = own_files(package) if package else {}
            self._sources[package] = source_hash(file_digests(files)) if files else None
        return self._sources[package]


def given_settings(config: RunConfig, label: str) -> GivenRecord:
    """Return what a config says of a model, as a cell's record holds it."""
    plugin, options = config.model_of(label)
    return GivenRecord(plugin=plugin, options=json.loads(json.dumps(options, default=str)))


def changes_since(config: RunConfig, record: DoneRecord, plugins: PluginFiles) -> list[str]:
    """Name the parts of a cell's key that have changed, as far as the config and the plugin's files tell."""
    given = given_settings(config, record.model)
    is_same_plugin = given.plugin.rpartition(":")[2] == record.plugin.model
    parts = {
        "plugin": is_same_plugin and plugins.are_as_recorded(record),
        "options": _are_options_the_same(given, record),
        "training version": record.key_parts["training version"] == str(TRAINING_VERSION),
    }
    return [name for name, unchanged in parts.items() if not unchanged]


def _are_options_the_same(given: GivenRecord, record: DoneRecord) -> bool:
    """Whether the options that a config gives come to those of a cell.

    One that is given now and was not may be at its default. One that was given and is not now cannot be judged without
    the plugin, and was not recorded before version 3.
    """
    dropped = record.given is not None and not record.given.options.keys() <= given.options.keys()
    same = record.given is not None and record.given.options == given.options
    return same or (not dropped and all(record.options.get(name) == value for name, value in given.options.items()))


def _installed_version(distribution: str) -> str:
    """Return ``name version`` of a distribution as it is installed now."""
    name = distribution.partition(" ")[0]
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name
