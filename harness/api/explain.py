"""Overlays of what networks look at, for the images that a report shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.cache import Cache, Note
from harness.errors import UsageError, did_you_mean
from harness.execution.explain import CellImages, Explanations, explain_images
from harness.execution.kept_models import KeptRun
from harness.locations import cache_folder
from harness.planning.observer import Observer
from harness.reporting.gallery import choose_images
from harness.reporting.results import Results, read_results
from harness.store.run_store import RunStore


def explain(
    folder: Path | str,
    models: Sequence[str] | None = None,
    device: str | None = None,
    note: Note | None = None,
    *,
    data: Path | str | None = None,
    plugins: Iterable[Path] = (),
) -> Explanations:
    """Compute what the kept networks of a run look at in the images that its report shows, and keep it there.

    What is there of the same cells is kept. On systems that start processes anew a script that calls this needs the
    usual ``__main__`` guard.

    Args:
        folder: The run folder.
        models: Labels of the only models to explain.
        device: ``auto``, ``cpu`` or ``cuda[:N]``; ``auto`` by default.
        note: Is told what a person should know.
        data: Folder of the run's images; where the run found them by default.
        plugins: Plugin files, if models of the run come from any.

    Raises:
        DataError: There is no run, none of its cells is finished, or its images are not there.
        EnvironmentMissingError: captum or the device is not there.
        UsageError: No finished cell of such a model.
    """
    store = RunStore(Path(folder).absolute())
    results = read_results(store)
    labels = _chosen_labels(results, models)
    cells = _cells_to_explain(results, labels)
    files = tuple(Path(plugin).absolute() for plugin in plugins)
    cache = Cache(cache_folder(), note or Observer().note)
    run = KeptRun(store, results.run.config.with_data_folder(data), cache, files, device or "auto")
    cells = [one for one in cells if one.record.scored is None]
    outcome = explain_images(run, cells)
    shown = {one.cell.label for one in cells}
    unseen = {label: _why_not_shown(results, label) for label in labels if label not in shown}
    return replace(outcome, skipped=unseen | outcome.skipped)


def _chosen_labels(results: Results, models: Sequence[str] | None) -> list[str]:
    for label in models or ():
        if label not in results.labels:
            known = ", ".join(results.labels)
            near = did_you_mean(label, results.labels)
            raise UsageError(f"no finished cell of a model '{label}'{near} (the run has {known})")
    return [label for label in results.labels if not models or label in models]


def _cells_to_explain(results: Results, labels: Sequence[str]) -> list[CellImages]:
    """Collect the images that a report shows, each once, by the cell that predicted it."""
    images: dict[str, dict[str, None]] = {}
    for shown in choose_images(results):
        if shown.model in labels:
            images.setdefault(shown.cell.name, {})[shown.image] = None
    return [CellImages(results.cells[cell], list(names)) for cell, names in images.items()]


def _why_not_shown(results: Results, label: str) -> str:
    if results.is_shortcut(label):
        return "it looks at a property of the picture and at no tissue, and the report shows no image of it"
    if results.is_scored(label):
        return "its predictions were made elsewhere, and there is no model here"
    return "it says the same of every image, and the report shows none of it"
