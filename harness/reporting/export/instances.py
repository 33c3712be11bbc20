"""Predictions of the test images as Every Eval Ever's instance-level records: one line an image, fold and seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.reporting.export.shared_run import SharedRun

INSTANCE_VERSION = "instance_level_eval_0.3.0"
_METRIC = "p_img"
"""The score that is the mean over images of being right."""

_FACTS = ("stratum", "fold", "seed", "subgroup", "group", "subtype")


def result_id(metric: str, stratum: str) -> str:
    """Return the name of a score within a model's file."""
    return f"{metric}@{stratum}"


def evaluation_name(shared: SharedRun, stratum: str) -> str:
    """Return what was evaluated; it says so where patients stand on two sides."""
    return shared.results.heading(f"{shared.dataset} {stratum}, {shared.results.run.protocol.name}")


def instance_lines(shared: SharedRun, label: str, head: dict[str, str]) -> Iterator[str]:
    """Yield a line of JSON for every test image of a model.

    Args:
        shared: The run.
        label: The model.
        head: What the lines have in common with the file of scores: ``evaluation_id`` and ``model_id``.
    """
    own = shared.results.test_of(label)
    classes = shared.results.classes
    places = {stratum: _place(shared, stratum) for stratum in own["stratum"].unique()}
    for row in own.to_dict("records"):
        line = {"schema_version": INSTANCE_VERSION, **head, **places[row["stratum"]], **_instance(row, classes)}
        yield json.dumps(line, allow_nan=False) + "\n"


def _place(shared: SharedRun, stratum: str) -> dict[str, str]:
    return {
        "evaluation_name": evaluation_name(shared, stratum),
        "evaluation_result_id": result_id(_METRIC, stratum),
    }


def _instance(row: dict[Any, Any], classes: list[str]) -> dict[str, Any]:
    actual, predicted = classes[row["label"]], classes[row["predicted"]]
    return {
        "sample_id": row["image"],
        "interaction_type": "single_turn",
        "input": {"raw": row["image"], "reference": [actual], "choices": classes},
        "output": {"raw": [predicted]},
        "answer_attribution": [_attribution(predicted)],
        "evaluation": {"score": float(actual == predicted), "is_correct": actual == predicted},
        "metadata": {
            **{name: str(row[name]) for name in _FACTS},
            **{f"p_{name}": str(row[f"p_{label}"]) for label, name in enumerate(classes)},
        },
    }


def _attribution(predicted: str) -> dict[str, Any]:
    return {
        "turn_idx": 0,
        "source": "output.raw",
        "extracted_value": predicted,
        "extraction_method": "most probable class",
        "is_terminal": True,
    }
