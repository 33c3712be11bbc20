"""The plan of a run, checked before any training."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.planning.cell_keys import cell_keys, resolved
from harness.planning.comparison import comparison_parts, refuse_other_comparison, refuse_other_facts
from harness.planning.decode_images import decode_images
from harness.planning.fold_pixels import DecodedRun, pixels_of_folds
from harness.planning.image_set import scan_images
from harness.planning.models import ModelEntry, model_entries
from harness.planning.observer import Observer
from harness.planning.pretraining import decode_sources, pretraining_starts
from harness.planning.splits import Division, divide, refuse_empty_sides, refuse_leaky_protocol
from harness.plugin_api.discovery import PluginHost
from harness.store.cells import Cell
from harness.store.run_store import RunStore
from harness.store.schema import ComparisonRecord, StartRecord
from harness.training.auto import resolve_execution_mode
from harness.training.devices import list_devices, resolve_device
from harness.workers.messages import ModelJob, SourceRows


@dataclass(frozen=True)
class Run:
    """A run, prepared: all that is needed to compute its cells.

    Attributes:
        name: Of the config.
        config: As resolved.
        entries: Its models.
        division: Who is where.
        decoded: The pixels.
        sources: Source sets by name.
        starts: What each model starts from, by label.
        device: Where cells are computed.
        comparison: What decides the comparison.
        keys: The key of every planned cell, part by part.
    """

    name: str
    config: RunConfig
    entries: list[ModelEntry]
    division: Division
    decoded: DecodedRun
    sources: dict[str, SourceRows]
    starts: dict[str, StartRecord]
    device: torch.device
    comparison: ComparisonRecord
    keys: dict[Cell, dict[str, str]]

    def entry(self, label: str) -> ModelEntry:
        """Return the model of a label."""
        return next(entry for entry in self.entries if entry.label == label)


def prepare_run(
    name: str, config: RunConfig, host: PluginHost, store: RunStore, cache: Cache, observer: Observer
) -> Run:
    """Check and prepare everything that can fail before training: images, sides, models, weights, the run folder.

    Raises:
        HarnessError: Of the kind that says what is wrong; nothing has been trained or overwritten.
    """
    device = resolve_device(config.device)
    entries = model_entries(config, host)
    for entry in entries:
        entry.deviations()  # a plugin that fails at that must do so before anything is trained
    refuse_leaky_protocol(config)
    scanned = scan_images(config, cache, observer.progress)
    for note in scanned.file_notes():
        observer.note(note)
    config = scanned.config
    images = decode_images(scanned, cache, observer.progress)
    division = divide(images)
    refuse_empty_sides(division, config.chosen_strata)
    found = resolved(config, device.type)
    comparison = comparison_parts(division, found)
    stored = store.read_run()
    if stored is not None:
        refuse_other_comparison(stored.comparison, comparison, store.folder)
        refuse_other_facts(store.read_manifest(), division.manifest, store.folder)
    sources = decode_sources(config, entries, cache, observer.progress)
    starts = pretraining_starts(entries, sources)
    identities = {entry.label: entry.identity(starts[entry.label]) for entry in entries}
    keys = cell_keys(identities, division, found)
    decoded = pixels_of_folds(division, images.decoded, cache)
    return Run(name, config, entries, division, decoded, sources, starts, device, comparison, keys)


def job_of(run: Run, label: str, cache: Cache, pixels: str, device: str | None = None) -> ModelJob:
    """Collect what all cells of a model have in common.

    Args:
        run: The prepared run.
        label: Of the model.
        cache: The cache.
        pixels: Hash of how the run's images became pixels.
        device: As torch names it; the run's first one by default.
    """
    entry = run.entry(label)
    wanted = entry.requirements().sources
    return ModelJob(
        options=entry.options,
        classes=tuple(run.division.data_set.classes),
        size=run.config.pixels.size,
        device=device or list_devices(run.device)[0],
        threads=run.config.threads,
        schedule=run.config.schedule.budget(),
        sources={name: run.sources[name] for name in wanted},
        cache=cache.folder,
        code=entry.registered.source,
        pixels=pixels,
        execution_mode=resolve_execution_mode(run.config.schedule.execution_mode, run.device.type),
    )
