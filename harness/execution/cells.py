"""Cells: one model x magnification x fold x seed, and the key that says when a finished one is still valid."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from harness.data.pixels import PIXEL_VERSION
from harness.errors import ConfigError, HarnessError, PluginError
from harness.execution.config import RunConfig
from harness.execution.prepare import Division, hash_of
from harness.plugin_api.discovery import PluginHost, RegisteredModel
from harness.plugin_api.model import Model, Requirements
from harness.settings import parse_settings
from harness.training.version import TRAINING_VERSION

T = TypeVar("T")
_MAX_SLUG = 150
"""A file's name has at most 255 bytes, and a cell's has its magnification, fold and seed as well."""


@dataclass(frozen=True)
class ModelEntry:
    """A row of the tables, ready to be trained.

    Attributes:
        label: The row's name.
        registered: The model behind it and its plugin.
        options: The model's options, complete, as JSON values.
    """

    label: str
    registered: RegisteredModel
    options: dict[str, Any]

    def make(self) -> Model:
        """Make the model."""
        kind = self.registered.model
        return kind(kind.Options.model_validate(self.options))

    def requirements(self) -> Requirements:
        """Ask the model what it needs.

        Raises:
            PluginError: The plugin fails at that, or answers something else.
        """
        needs = self._asked(lambda model: model.requirements())
        if not isinstance(needs, Requirements):
            raise PluginError(
                f"model '{self.label}': requirements() must return a harness.Requirements, not {type(needs).__name__}"
            )
        return needs

    def deviations(self) -> list[str]:
        """Ask the model in what its options differ from the paper's recipe.

        Raises:
            PluginError: The plugin fails at that.
        """
        found: Any = self._asked(lambda model: model.deviations())
        if not isinstance(found, tuple | list) or not all(isinstance(words, str) for words in found):
            raise PluginError(f"model '{self.label}': deviations() must return a tuple of texts, not {found!r:.80}")
        return list(found)

    def _asked(self, question: Callable[[Model], T]) -> T:
        try:
            with contextlib.chdir(Path.cwd()):  # the plugin's code may change the folder that paths are relative to
                return question(self.make())
        except HarnessError:
            raise
        except (Exception, SystemExit) as error:
            line = str(error).partition("\n")[0]
            raise PluginError(f"model '{self.label}' cannot be made: {type(error).__name__}: {line}") from error


@dataclass(frozen=True)
class Cell:
    """One model x magnification x fold x seed."""

    label: str
    magnification: int
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """The cell's folder."""
        return f"{slug(self.label)}-{self.magnification}x-fold{self.fold}-seed{self.seed}"


def slug(label: str) -> str:
    """Return a label as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.") or "model"


def model_entries(config: RunConfig, host: PluginHost) -> list[ModelEntry]:
    """Find the config's models and check their options.

    Raises:
        ConfigError: Options that a model does not have, or labels that are too long for file names or cannot be told
            apart in them.
        UsageError: A model that no plugin offers.
        PluginError: The plugin of a model could not be loaded, or shares the model's name with another.
    """
    entries = []
    for label in config.models:
        name, given = config.model_of(label)
        registered = host.find(name)
        with contextlib.chdir(Path.cwd()):
            options = parse_settings(registered.model.Options, given, f"options of model '{label}'")
        entries.append(ModelEntry(label, registered, options.model_dump(mode="json")))
    _refuse_folders_that_cannot_be([entry.label for entry in entries])
    return entries


def plan_cells(entries: list[ModelEntry], config: RunConfig, folds: tuple[int, ...]) -> list[Cell]:
    """List the cells of a run, model by model."""
    return [
        Cell(entry.label, magnification, fold, seed)
        for entry in entries
        for seed in config.seeds
        for magnification in config.magnifications
        for fold in folds
    ]


def cell_rows(division: Division, cell: Cell) -> pd.DataFrame:
    """Return the images of a cell: the manifest's columns and ``side``, sorted by name."""
    splits = division.splits
    sides = splits[(splits["seed"] == cell.seed) & (splits["fold"] == cell.fold)].set_index("image")["side"]
    images = division.images
    images = images[images["magnification"] == cell.magnification]
    chosen = images.assign(side=images["name"].map(sides)).dropna(subset="side")
    return chosen.sort_values("name", ignore_index=True)


def key_parts(
    entry: ModelEntry, cell: Cell, rows: pd.DataFrame, config: RunConfig, inputs: Mapping[str, Any]
) -> dict[str, str]:
    """Hash everything that would change a cell's outcome, part by part.

    Args:
        entry: The model.
        cell: The cell.
        rows: Its images and their sides.
        config: The run's config.
        inputs: What the run found: ``engine``, ``precision``, ``device_type``, and ``needs`` by label.

    Returns:
        A hash or short text a part; two cells of equal parts have equal outcomes.
    """
    content = rows["sha256"] + " " + rows["side"] + " " + rows["label"].astype(str)
    parts = {
        "plugin": f"{entry.registered.source} {entry.registered.distribution} {entry.registered.model.name}",
        "options": hash_of(entry.options),
        "starts from": hash_of(inputs["needs"][entry.label]),
        "images and sides": hashlib.sha256("\n".join(sorted(content)).encode()).hexdigest(),
        "pixels": hash_of([PIXEL_VERSION, config.pixels.model_dump()]),
        "schedule": hash_of(config.schedule.model_dump()),
        "engine": str(inputs["engine"]),
        "precision": str(inputs["precision"]),
        "device type": str(inputs["device_type"]),
        "threads": str(config.threads),
        "seed": str(cell.seed),
        "training version": str(TRAINING_VERSION),
    }
    return {name: part if len(part) < 64 else hash_of(part) for name, part in parts.items()}


def what_changed(stored: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Name the parts of a key that differ."""
    return [name for name in wanted if stored.get(name) != wanted[name]]


def _refuse_folders_that_cannot_be(labels: list[str]) -> None:
    first: dict[str, str] = {}
    for label in labels:
        if len(slug(label)) > _MAX_SLUG:
            raise ConfigError(
                f"model '{label[:40]}...' has {len(label)} characters, more than a folder's name can hold - give it a "
                f"label of at most {_MAX_SLUG}"
            )
        other = first.setdefault(slug(label).lower(), label)
        if other != label:
            raise ConfigError(f"models '{other}' and '{label}' would share a folder; rename one")
