"""How a run was made: facts, the choices that the paper leaves open, the config, where weights come from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from harness.config.run_config import RunConfig
from harness.data.manifest import published_counts
from harness.protocol.names import TEST, TRAIN, VALIDATION
from harness.reporting.own_paths import without_folders
from harness.reporting.results import Results
from harness.reporting.run_notes import library_versions
from harness.store.schema import SCORED, DoneRecord
from harness.text import natural_order

Facts = list[tuple[str, str]]
"""Terms and what they come to."""


def facts(results: Results) -> Facts:
    """Say on what a run was made, and of what."""
    run, images = results.run, results.images[results.images["stratum"].isin(results.strata)]
    devices = dict.fromkeys(_device(cell.device) for cell in results.cells.values())
    libraries = library_versions(run, results.cells)
    versions = ", ".join(f"{name} {' and '.join(found)}" for name, found in libraries.items())
    return [
        ("protocol", f"{run.protocol.name}: {run.protocol.title}"),
        ("seeds, folds", f"{_listed(run.config.seeds)}; {len(run.comparison.folds)}"),
        ("images", f"{len(images):,} of {images['group'].nunique()} {results.groups}{_held(results)}"),
        ("sides", "; ".join(_sides(results, stratum) for stratum in results.strata)),
        ("device", "; ".join(devices)),
        ("execution", _listed(natural_order({cell.execution_mode for cell in results.cells.values()}))),
        ("versions", versions),
        (
            "git commit",
            f"{run.git_commit or 'none'}{' (with changes)' if (run.git_commit or '').endswith('+') else ''}",
        ),
        ("split fingerprint", run.comparison.splits),
        ("images, sha256 of names and contents", run.comparison.images),
        ("comparison key", run.comparison_key),
    ]


def open_choices(results: Results) -> Facts:
    """Name what the paper does not state, and what was taken here."""
    config = results.run.config
    schedule, pixels = config.schedule, config.pixels
    return [
        ("input size", f"{pixels.size} x {pixels.size} pixels, {pixels.resize}"),
        ("colour normalisation", pixels.stain),
        (
            "optimiser",
            f"SGD, momentum {schedule.momentum:g}, weight decay {schedule.weight_decay:g}, rate {schedule.decay}",
        ),
        ("best epoch", "validation balanced accuracy, ties by lower loss, then the earlier"),
        ("class weights", schedule.class_weights),
        ("views of a test image", str(schedule.prediction_views)),
        *((f"data set: {option}", str(value)) for option, value in results.run.comparison.data_options.items()),
        ("convergence", "90 % of the rise of a curve fitted to validation balanced accuracy (table 5)"),
    ]


def config_text(config: RunConfig) -> str:
    """Return a config as YAML, without folders: they are of one machine."""
    trained = {label: settings for label, settings in config.models.items() if settings.plugin != SCORED}
    config = config.model_copy(update={"models": trained})
    values = without_folders(config.model_dump(mode="json", exclude_unset=True, exclude_none=True))
    for place in ("folder", "table", "plugin"):
        if values.get("data", {}).get(place):
            values["data"][place] = Path(values["data"][place]).name
    values.get("data", {}).pop("folder", None)
    if config.data.table is not None:
        values["data"].pop("set", None)
    for source in values.get("sources", {}).values():
        source.pop("folder", None)
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100))


def command(results: Results) -> str:
    """Return the command that makes the run again from its config."""
    config = results.run.config
    data = "" if results.generated or config.data.table else " --data DIR"
    sources = [name for name, source in config.sources.items() if not source.phantom]
    folders = "".join(f" -o sources.{name}.folder=DIR" for name in sources)
    files = "".join(
        f" -o {shlex.quote(f'models.{label}.options.{option}=FILE')}"
        for label, settings in config.models.items()
        for option, value in settings.options.items()
        if isinstance(value, str) and Path(value).is_absolute()
    )
    return f"harness run {shlex.quote(f'{results.run.name}.yaml')}{data}{folders}{files}"


def provenance(results: Results) -> Facts:
    """Say where each model's weights come from, stage by stage."""
    found = []
    for label in results.labels:
        if results.is_scored(label):
            found.append((label, "predictions from elsewhere; nothing is known of its weights"))
            continue
        chains = dict.fromkeys(tuple(cell.provenance) for cell in results.cells_of(label))
        steps = "; or ".join(" -> ".join(chain) or "from scratch" for chain in chains)
        found.append((label, f"{_plugin(results.cells_of(label)[0])}; {steps}"))
    return found


def _plugin(cell: DoneRecord) -> str:
    known = without_folders(cell.options)
    options = ", ".join(f"{key} {value}" for key, value in known.items() if not isinstance(value, dict))
    return f"{cell.plugin.model} of {cell.plugin.distribution}{f' ({options})' if options else ''}"


def _device(device: dict[str, Any]) -> str:
    return " ".join(str(value) for name, value in device.items() if name != "host")


def _held(results: Results) -> str:
    """Say which part of the official images these are."""
    if results.generated:
        return " (generated)"
    published = published_counts(results.data_set)
    if published is None:
        return ""
    whole = published.loc[results.strata, "total"].sum()
    return f"; {whole:,} are published at {_listed(results.strata)}"


def _sides(results: Results, stratum: str) -> str:
    strata = results.splits["image"].map(results.images.set_index("name")["stratum"])
    here = results.splits[strata == stratum]
    counts = here.groupby(["seed", "fold", "side"]).size().groupby("side").mean()
    parts = ", ".join(f"{counts.get(side, 0):.0f} {side}" for side in (TRAIN, VALIDATION, TEST))
    return f"at {stratum} {parts} a fold"


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))
