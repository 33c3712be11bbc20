"""Provenance of weights, and numbers that models report of their networks."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Any

from harness.store.run_folder import RunFolder
from harness.store.schema import DoneRecord


def read_provenance(store: RunFolder) -> dict[str, list[dict[str, Any]]]:
    """Return where the weights of each model's finished cells come from.

    Returns:
        By label: each chain of ``steps``, first stage first, how many ``cells`` have it (usually there is one chain a
        model), and what the model told of its networks after each stage, the mean over those cells.

    Raises:
        DataError: No run there.
    """
    chains: dict[str, dict[tuple[str, ...], list[DoneRecord]]] = {}
    for record in store.require().read_done().values():
        chains.setdefault(record.model, {}).setdefault(tuple(record.provenance), []).append(record)
    return {
        label: [
            {"steps": list(steps), "cells": len(records), "inspection": mean_inspection(records)}
            for steps, records in found.items()
        ]
        for label, found in sorted(chains.items())
    }


def mean_inspection(records: Iterable[DoneRecord]) -> dict[str, dict[str, float]]:
    """Average what cells of a model tell of their networks, by stage and name."""
    found: dict[str, dict[str, list[float]]] = {}
    for record in records:
        for stage, numbers in record.inspection.items():
            for name, value in numbers.items():
                found.setdefault(stage, {}).setdefault(name, []).append(value)
    return {stage: {name: fmean(values) for name, values in numbers.items()} for stage, numbers in found.items()}
