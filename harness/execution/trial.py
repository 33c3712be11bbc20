"""The trial of models that a run folder has no finished cell of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.cache import Cache
from harness.execution.measurements import StudyMeasurements, model_keys
from harness.planning.observer import Observer
from harness.planning.plan import Run, job_of
from harness.processes import uninterrupted
from harness.store.cells import Cell, slug
from harness.store.run_store import RunStore
from harness.store.schema import CellRecord, DoneRecord
from harness.workers.handle import WorkerHandle, ask
from harness.workers.messages import Answer, Failure, TrialTask, Tried

_SECONDS = 20.0
_OF_MODEL = ("plugin", "options", "training version")
"""Parts of a cell's key: where they are those of a finished cell, that cell was the trial."""


def untried_models(keys: Mapping[Cell, Mapping[str, str]], stored: Mapping[str, CellRecord]) -> set[str]:
    """Return the labels of models that have no finished cell of the same code and options.

    Args:
        keys: Of the planned cells, part by part.
        stored: Records of the run folder by name.
    """
    finished = {
        _of_model(record.model, record.key_parts) for record in stored.values() if isinstance(record, DoneRecord)
    }
    return {cell.label for cell, parts in keys.items() if _of_model(cell.label, parts) not in finished}


def try_models(
    run: Run, labels: Iterable[str], store: RunStore, cache: Cache, observer: Observer, study: StudyMeasurements
) -> dict[str, Failure]:
    """Have models fitted on a few images, saved and loaded, each in a process of its own.

    Args:
        run: The prepared run.
        labels: Of the models.
        store: The run's folder.
        cache: The cache.
        observer: Is told how far it is, and what could not be tried.
        study: Names the models that have passed in an earlier run, which are not tried again, and takes those of now.

    Returns:
        The models of which every cell would fail, or leave something that cannot be loaded.
    """
    unfit: dict[str, Failure] = {}
    keys = model_keys(run, sorted(labels), cache)
    wanted = [label for label, key in keys.items() if key not in study.tried]
    for place, label in enumerate(wanted, 1):
        answer = _try_model(run, label, store, cache)
        if isinstance(answer, Failure) and answer.cause == "certain":
            unfit[label] = answer
        elif isinstance(answer, Tried):
            study.tried.add(keys[label])
        else:
            reason = answer.reason if isinstance(answer, Failure) else "it gave no answer"
            observer.note(f"{label} could not be tried on a few images ({reason}); its cells begin all the same")
        observer.progress("trying models", place, len(wanted))
    return unfit


def _try_model(run: Run, label: str, store: RunStore, cache: Cache) -> Answer:
    with uninterrupted():
        worker = WorkerHandle(label, run.entry(label).registered.reference, store.log_file(slug(label)))
    limit = min(_SECONDS, run.config.cell_seconds or _SECONDS)
    return ask(worker, TrialTask(job_of(run, label, cache, "")), cache.note, limit)


def _of_model(label: str, parts: Mapping[str, str]) -> tuple[str | None, ...]:
    return (label, *(parts.get(name) for name in _OF_MODEL))
