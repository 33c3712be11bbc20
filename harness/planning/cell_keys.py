"""The cells of a run, and the key of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.config.run_config import RunConfig
from harness.data.version import PIXEL_VERSION
from harness.planning.cell_images import CellImages
from harness.store.cells import Cell
from harness.store.keys import hash_of
from harness.training.auto import resolve_execution_mode, resolve_precision
from harness.training.version import TRAINING_VERSION

if TYPE_CHECKING:
    from harness.planning.splits import Division

_SHORT = 64


@dataclass(frozen=True)
class ModelIdentity:
    """What a model adds to the keys of its cells, as it is stored.

    Attributes:
        plugin: Its source, distribution and name.
        options: A hash of its options.
        starts_from: A hash of weights and source sets.
    """

    plugin: str
    options: str
    starts_from: str


def plan_cells(labels: Iterable[str], config: RunConfig, folds: Iterable[int]) -> list[Cell]:
    """List the cells of a run, model by model."""
    return [
        Cell(label, stratum, fold, seed)
        for label in labels
        for seed in config.seeds
        for stratum in config.chosen_strata
        for fold in folds
    ]


def cell_keys(
    identities: Mapping[str, ModelIdentity], division: Division, found: Mapping[str, str]
) -> dict[Cell, dict[str, str]]:
    """Hash everything that would change a cell's outcome, part by part, for every cell of a run.

    Args:
        identities: What each model adds, by label.
        division: The images, who is where, and the config.
        found: From :func:`resolved`.

    Returns:
        A hash or short text a part, by cell; two cells of equal parts have equal outcomes.
    """
    config, images = division.config, CellImages(division)
    of_run = {
        "pixels": hash_of([PIXEL_VERSION, config.pixels.model_dump()]),
        "schedule": hash_of(config.schedule.budget().model_dump()),
        "execution mode": found["execution_mode"],
        "precision": found["precision"],
        "device type": found["device_type"],
        "threads": str(config.threads),
    }
    of_run = {name: brief(part) for name, part in of_run.items()}
    return {
        cell: _key_parts(identities[cell.label], cell, brief(images.digest(cell)), of_run)
        for cell in plan_cells(identities, config, division.protocol.folds)
    }


def _key_parts(model: ModelIdentity, cell: Cell, images_and_sides: str, of_run: Mapping[str, str]) -> dict[str, str]:
    return {
        "plugin": model.plugin,
        "options": model.options,
        "starts from": model.starts_from,
        "images and sides": images_and_sides,
        **of_run,
        "seed": brief(str(cell.seed)),
        "training version": str(TRAINING_VERSION),
    }


def resolved(config: RunConfig, device_type: str) -> dict[str, str]:
    """Return what the config's ``auto`` stands for on a type of device, as :func:`cell_keys` takes it."""
    return {
        "execution_mode": resolve_execution_mode(config.schedule.execution_mode, device_type),
        "precision": resolve_precision(config.schedule.precision, device_type),
        "device_type": device_type,
    }


def plugin_part(source: str | None, distribution: str, model: str) -> str:
    """Return the part of a key that says which plugin a model comes from.

    Args:
        source: Hash of its source.
        distribution: Name and version of what is installed.
        model: The model's name.
    """
    return brief(f"{source} {distribution} {model}")


def brief(part: str) -> str:
    """Return a part of a key as it is stored: a short text, or the hash of a long one."""
    return part if len(part) < _SHORT else hash_of(part)
