"""Evaluation results of the Hugging Face Hub: ``.eval_results/*.yaml`` of a model's repository.

The format is that of https://huggingface.co/docs/hub/eval-results: a list of entries, each a task of a benchmark, its
value, where it comes from and notes on how it was found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.errors import UsageError
from harness.reporting.export.shared_run import LEVEL, Files, SharedRun
from harness.reporting.scores import Score
from harness.store.cells import slug


def hugging_face_files(shared: SharedRun) -> Files:
    """Yield a file for the repository of every model.

    Raises:
        UsageError: Several scores would stand under one task of the benchmark.
    """
    _refuse_shared_tasks(shared)
    name = slug(f"{shared.facts['hub_dataset']}-{shared.results.run.protocol.name}")
    for label, model_id in shared.model_ids.items():
        entries = [_entry(shared, score) for score in shared.scores(label)]
        text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=120)
        yield Path(model_id, ".eval_results", f"{name}.yaml"), text.encode()


def _entry(shared: SharedRun, score: Score) -> dict[str, Any]:
    entry = {"dataset": _dataset(shared, score), "value": score.value}
    if source := _source(shared):
        entry["source"] = source
    return {**entry, "notes": " ".join([_heading(shared, score), *shared.notes])}


def _dataset(shared: SharedRun, score: Score) -> dict[str, str]:
    dataset = {"id": shared.facts["hub_dataset"], "task_id": _task(shared, score.metric, score.stratum)}
    revision = shared.facts.get("hub_revision")
    return {**dataset, "revision": revision} if revision else dataset


def _source(shared: SharedRun) -> dict[str, str] | None:
    url, name = shared.facts.get("source_url"), f"harness run {shared.results.run.name}"
    return {"url": url, "name": name} if url else None


def _heading(shared: SharedRun, score: Score) -> str:
    interval = "" if score.low is None else f", {100 * LEVEL:.0f} % interval {score.low} to {score.high} over patients"
    return f"{shared.results.heading(shared.results.title(score.metric))} at {score.stratum} as a fraction{interval}."


def _task(shared: SharedRun, metric: str, stratum: str) -> str:
    return shared.facts["hub_task"].replace("{metric}", metric).replace("{stratum}", slug(stratum))


def _refuse_shared_tasks(shared: SharedRun) -> None:
    """Refuse a leaderboard that would mix metrics or strata."""
    pattern, several = shared.facts["hub_task"], len(shared.results.strata) > 1
    if "{metric}" not in pattern or (several and "{stratum}" not in pattern):
        raise UsageError(
            f"--hub-task '{pattern}' is one task for several numbers - put {{metric}}"
            f"{' and {stratum}' if several else ''} where they stand in the names of the benchmark's tasks"
        )
