"""The trial of models that a run folder has no finished cell of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from harness.cache import Cache
from harness.execution.measurements import StudyMeasurements, model_keys
from harness.planning.observer import Observer
from harness.planning.plan import Run, job_of
from harness.processes import uninterrupted
from harness.store.cells import Cell, slug
from harness.store.run_store import RunStore
from harness.store.schema import CellRecord, DoneRecord
from harness.threads import usable_cores
from harness.workers.handle import WorkerHandle, ask_all
from harness.workers.messages import Answer, Failure, TrialTask, Tried

_SECONDS = 20.0
_MOST_AT_ONCE = 8  # where it is not said how many cells are to run at once: memory may not do for more
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


def try_models(  # noqa: PLR0913
    run: Run,
    labels: Iterable[str],
    store: RunStore,
    cache: Cache,
    observer: Observer,
    study: StudyMeasurements,
    jobs: int | None,
) -> dict[str, Failure]:
    """Have models fitted on a few images, saved and loaded, each in a process of its own and several at once.

    Args:
        run: The prepared run.
        labels: Of the models.
        store: The run's folder.
        cache: The cache.
        observer: Is told how far it is, and what could not be tried.
        study: Names the models that have passed in an earlier run, which are not tried again, and takes those of now.
        jobs: Cells at once, as they were asked for; None where that is not known yet.

    Returns:
        The models of which every cell would fail, or leave something that cannot be loaded.
    """
    unfit: dict[str, Failure] = {}
    keys = model_keys(run, sorted(labels), cache)
    wanted = [label for label, key in keys.items() if key not in study.tried]
    asked = [(partial(_worker, run, label, store), TrialTask(job_of(run, label, cache, ""))) for label in wanted]
    at_once = max(1, min(jobs or _MOST_AT_ONCE, usable_cores() // run.config.threads))
    limit = min(_SECONDS, run.config.cell_seconds or _SECONDS)
    for done, (place, answer) in enumerate(ask_all(asked, at_once, _ignore, limit), 1):
        label = wanted[place]
        if isinstance(answer, Failure) and answer.cause == "certain":
            unfit[label] = answer
        elif isinstance(answer, Tried):
            study.tried.add(keys[label])
        else:
            reason = answer.reason if isinstance(answer, Failure) else "it gave no answer"
            observer.note(f"{label} could not be tried on a few images ({reason}); its cells begin all the same")
        observer.progress("trying models", done, len(wanted))
    return unfit


def _worker(run: Run, label: str, store: RunStore) -> WorkerHandle:
    with uninterrupted():
        return WorkerHandle(label, run.entry(label).registered.reference, store.log_file(slug(label)))


def _ignore(_: Answer) -> None:
    """Take no notice of what a worker says before it answers: its cells will say it again."""


def _of_model(label: str, parts: Mapping[str, str]) -> tuple[str | None, ...]:
    return (label, *(parts.get(name) for name in _OF_MODEL))
