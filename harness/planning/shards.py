"""Shards of a run: which cells each computes, and the plan that all of them hold to.

A shard knows its cells from the plan of the run alone. Cells are dealt model by model, so that every shard gets as many
of each as the others, give or take one. What a cell of one model costs beside one of another, only a measurement could
tell, and that would differ from node to node; of one model's cells the images that they pass tell it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from harness.cache import Note
from harness.config.run_config import RunConfig
from harness.errors import EnvironmentMissingError, UsageError
from harness.planning.cell_keys import resolved
from harness.planning.plan import Run
from harness.plugin_api.schedule import Schedule
from harness.protocol.names import SIDES
from harness.store.cells import Cell
from harness.store.keys import first_difference, hash_of
from harness.store.schema import SHARED_PARTS
from harness.store.shards import (
    SHARD_FILE,
    Shard,
    ShardPlan,
    ShardRecord,
    read_plan,
    read_shard,
    settle_plan,
    write_shard,
)
from harness.training.batches import views_shown
from harness.training.devices import NOT_RECORDED, differing_versions, resolve_device, versions

_OF_THE_COMPARISON = ("protocol", "seeds", "strata", "threads", "limit", "pixels", "schedule")
_OF_THE_IMAGES = ("set", "options", "columns", "classes", "phantom", "on_damaged")


def plan_file(folder: Path, name: str, config: RunConfig, shards: int) -> Path:
    """Return the file, beside the shards' folders, of the plan that they hold to.

    What a config asks of the comparison stands in the file's name as a hash, so that shards of another comparison in
    the same place have a plan of their own.

    Args:
        folder: Of the whole run, or of a shard.
        name: Of the config.
        config: As asked for.
        shards: How many there are.
    """
    values = config.model_dump(mode="json")
    asked = [values[key] for key in _OF_THE_COMPARISON] + [values["data"][key] for key in _OF_THE_IMAGES]
    return folder.with_name(f"{name}-of-{shards}-{hash_of([*asked, list(config.models)])[:8]}.json")


def prepare_shard(
    shard: Shard, folder: Path, file: Path, config: RunConfig, prepare: Callable[[RunConfig], Run], note: Note
) -> Run:
    """Prepare a shard of a run: what all shards hold to is settled by the first of them, and held against this node.

    Args:
        shard: Which.
        folder: The shard's.
        file: Of the plan.
        config: As asked for.
        prepare: Prepares the whole run of a config.
        note: Is told of other versions of libraries, where the config lets them be.

    Returns:
        The run, with the cells of the shard alone.

    Raises:
        UsageError: The folder holds another shard.
        EnvironmentMissingError: This node cannot hold to the plan.
        HarnessError: As ``prepare``.
    """
    _refuse_other_shard(shard, folder)
    run = prepare(held_to(config, file))
    plan = settle_shards(run, shard.count, file, note)
    write_shard(folder, ShardRecord(number=shard.number, plan=plan))
    return part_of(run, shard)


def settle_shards(run: Run, shards: int, file: Path, note: Note) -> ShardPlan:
    """Return what the shards of a run hold to; it is written down if no shard has begun.

    Args:
        run: The whole run.
        shards: How many there are.
        file: Of the plan.
        note: Is told of other versions of libraries, where the config lets them be.

    Raises:
        EnvironmentMissingError: Shards have begun, and hold to something else.
    """
    here = _shard_plan(run, shards)
    plan = settle_plan(file, here)
    may_differ = run.config.other_versions == "name"
    refused, named = differing_versions(plan.versions, here.versions, libraries_may_differ=may_differ)
    versions_differ = [
        (f"version of {name}", plan.versions.get(name, NOT_RECORDED), version) for name, version in refused.items()
    ]
    if differs := next(iter(versions_differ), None) or first_difference(plan.facts(), here.facts()):
        part, before, now = differs
        raise EnvironmentMissingError(
            f"this node cannot compute a shard of this run: {part} is {now} here, and {before} in {file} - every shard "
            "needs the same images, plugins, libraries (-o other_versions=name lets these differ) and kind of device; "
            f"to begin anew remove {file.name} and run every shard with --fresh"
        )
    if named:
        says = [f"{name} {version} ({plan.versions.get(name, NOT_RECORDED)})" for name, version in named.items()]
        note(f"this machine has other versions than {file.name} names (in brackets): {', '.join(says)}")
    return plan


def held_to(config: RunConfig, file: Path) -> RunConfig:
    """Return a config with the kind of device that its shards hold to, where it leaves that open.

    Args:
        config: As asked for.
        file: Of the plan; there is none before the first shard.

    Raises:
        EnvironmentMissingError: There is no such device here.
    """
    plan = read_plan(file)
    if plan is None or config.device != "auto":
        return config
    device = plan.comparison.device_type
    try:
        resolve_device(device)
    except EnvironmentMissingError as error:
        raise EnvironmentMissingError(
            f"this node cannot compute a shard of this run: {file} says {device}, and no such device is here"
        ) from error
    return config.model_copy(update={"device": device})


def part_of(run: Run, shard: Shard) -> Run:
    """Return a run with the cells of a shard alone."""
    mine = set(deal_cells(_expected_costs(run), shard.count)[shard.number - 1])
    return replace(run, keys={cell: parts for cell, parts in run.keys.items() if cell in mine})


def deal_cells(costs: Mapping[Cell, int], shards: int) -> list[list[Cell]]:
    """Deal cells to shards, model by model, each model's most expensive ones first.

    A model's cells are dealt in rounds; in each the most expensive goes to the shard that has got least of the model. A
    round that is not full goes to the shards with the fewest cells. Every shard gets, of each model and of all
    together, as many cells as any other, give or take one.

    Args:
        costs: Of the cells, model by model; comparable within a model.
        shards: How many there are.
    """
    dealt: list[list[Cell]] = [[] for _ in range(shards)]
    total = [0] * shards
    for _, cells in groupby(costs, lambda cell: cell.label):
        waiting = sorted(cells, key=lambda cell: (-costs[cell], cell.name))
        load = [0] * shards
        for first in range(0, len(waiting), shards):
            round_ = waiting[first : first + shards]
            fewest = sorted(range(shards), key=lambda place: (len(dealt[place]), total[place]))[: len(round_)]
            least = sorted(fewest, key=lambda place: (load[place], total[place], place))
            for cell, place in zip(round_, least, strict=True):
                dealt[place].append(cell)
                load[place] += costs[cell]
                total[place] += costs[cell]
    return dealt


def _expected_costs(run: Run) -> dict[Cell, int]:
    """Return the images that each cell passes through its network."""
    division = run.division
    splits = division.splits.merge(division.images[["name", "stratum"]], left_on="image", right_on="name")
    sizes = splits.groupby(["stratum", "fold", "seed", "side"]).size().to_dict()
    return {
        cell: _images_passed(
            run.config.schedule, *(int(sizes.get((cell.stratum, cell.fold, cell.seed, side), 0)) for side in SIDES)
        )
        for cell in run.keys
    }


def _images_passed(schedule: Schedule, train: int, validation: int, test: int) -> int:
    views = views_shown(schedule.augmentation) if schedule.augmentation == "sixfold" else 1
    return schedule.epochs * (train * views + validation) + (validation + test) * schedule.prediction_views


def _shard_plan(run: Run, shards: int) -> ShardPlan:
    models = {cell.label: {part: parts[part] for part in SHARED_PARTS} for cell, parts in run.keys.items()}
    return ShardPlan(
        shards=shards,
        comparison=run.comparison,
        execution_mode=resolved(run.config, run.device.type)["execution_mode"],
        models=models,
        versions=versions(),
        cells=hash_of({cell.name: parts for cell, parts in run.keys.items()}),
    )


def _refuse_other_shard(shard: Shard, folder: Path) -> None:
    found = read_shard(folder)
    if found is not None and (found.number, found.plan.shards) != (shard.number, shard.count):
        raise UsageError(
            f"{folder} holds shard {found.number}/{found.plan.shards} of a run - give {shard} a folder of its own "
            f"(--out), or move that one aside with --fresh; {SHARD_FILE} in it says so"
        )
