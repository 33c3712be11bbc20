"""The paper's tables 1, 3, 4 and 5, each a pure function of a run folder."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean, median
from typing import Any

import pandas as pd

from harness.data.manifest import count_table
from harness.data.official import official_list
from harness.evaluation.metrics import cases, measure_pooled
from harness.reporting import paper
from harness.reporting.results import Results
from harness.reporting.table import Table

_DASH = "-"
_ROWS: tuple[tuple[str, str, dict[str, dict[int, float]]], ...] = (
    ("p_arp_slide", "P_arp by slide", paper.P_ARP),
    ("p_arp_accession", "P_arp by accession", {}),
    ("p_img", "P_img", paper.P_IMG),
    ("balanced_accuracy", "balanced accuracy", {}),
    ("auc", "AUC", {}),
    ("sensitivity", "sensitivity", {}),
    ("specificity", "specificity", {}),
)


def table_1(results: Results) -> Table:
    """The images, by class and magnification, beside the official counts."""
    held, official = count_table(results.images), count_table(official_list())
    rows = [
        [str(name), *(f"{held.loc[name, column]} ({official.loc[name, column]})" for column in held.columns)]
        for name in held.index
    ]
    records = [
        {
            "row": str(name),
            "class": column,
            "images": int(held.loc[name, column]),
            "official": int(official.loc[name, column]),
        }
        for name in held.index
        for column in held.columns
    ]
    notes = ["In brackets: the official counts. A case is a slide under one diagnosis.", *_state_notes(results)]
    return Table(1, _heading(results, "Images"), ["", *held.columns], rows, notes, records)


def table_3(results: Results) -> Table:
    """Accuracy by metric, model and magnification, the paper's beside it."""
    pooled = {
        (str(label), int(magnification)): measure_pooled(predictions, cross_validated=results.cross_validated)
        for (label, magnification), predictions in results.test.groupby(["model", "magnification"])
    }
    records: list[dict[str, Any]] = []
    rows = _size_rows(results)
    for metric, title, published in _ROWS:
        for label in results.labels:
            row = [title, label]
            for magnification in results.magnifications:
                value = pooled.get((label, magnification), {}).get(metric)
                printed = published.get(results.reproduces(label) or "", {}).get(magnification)
                row.append(_beside(value, printed))
                records.append(_record(metric, label, magnification, value, printed))
            rows.append(row)
    columns = ["metric", "model", *(f"{magnification}x" for magnification in results.magnifications)]
    notes = [
        "In %. In brackets: the paper's figure and ours minus it.",
        "P_arp (eq. 2) by slide takes a slide under one diagnosis as a patient, as the literature does; by accession, "
        "the case that its slides were cut from. P_img is eq. 3.",
        "Predictions are pooled over folds, seeds averaged; the AUC is the mean over folds."
        if results.cross_validated
        else "Mean over folds and seeds.",
        *results.notes(),
        paper.DOUBTS[0],
    ]
    return Table(3, _heading(results, "Accuracy"), columns, rows, _complete(results, notes), records)


def table_4(results: Results) -> Table:
    """Parameters and sizes, the paper's beside them."""
    columns = ["model", "parameters (M)", "trained (M)", "weights (MB)", "checkpoint (MB)", "forward (GFLOP)"]
    rows, records = [], []
    for label in results.labels:
        cell, network = results.cells_of(label)[0], results.reproduces(label) or ""
        figures = {
            "parameters_millions": _scaled(cell["parameters"], 1e6),
            "trained_parameters_millions": _scaled(cell["trainable_parameters"], 1e6),
            "weights_mb": _scaled(cell["weights_bytes"], 1e6),
            "checkpoint_mb": _scaled(cell["checkpoint_bytes"], 1e6),
            "forward_gflop": _scaled(cell["forward_flop"], 1e9),
        }
        printed = {
            "parameters_millions": paper.PARAMETERS_MILLIONS.get(network),
            "weights_mb": paper.SIZE_MB.get(network),
        }
        rows.append([label, *(_with_paper(figures[key], printed.get(key)) for key in figures)])
        records.append({"model": label, **figures, **{f"paper_{key}": value for key, value in printed.items()}})
    size = results.run["config"]["pixels"]["size"]
    notes = [
        f"MB of 10^6 bytes; a multiply-add is two operations; input {size} x {size} pixels. In brackets: the paper's.",
        "Trained: parameters that the last stage trains. Checkpoint: weights and the optimiser's state.",
        paper.DOUBTS[1],
        *_leaky_only(results),
    ]
    return Table(4, _heading(results, "Parameters and size"), columns, rows, _complete(results, notes), records)


def table_5(results: Results) -> Table:
    """Convergence, the paper's beside it."""
    columns = [
        "model",
        "converged",
        "epochs",
        "images",
        "minutes",
        "wall minutes",
        "calibrated cost",
        "pre-training minutes",
    ]
    rows, records = [], []
    for label in results.labels:
        record = _convergence(results.cells_of(label))
        printed = paper.CONVERGENCE_MINUTES.get(results.reproduces(label) or "")
        rows.append(
            [
                label,
                f"{record['converged']} of {record['cells']}" if record["has_epochs"] else _DASH,
                _number(record["epochs"], 1),
                _number(record["images"], 0),
                _with_paper(record["minutes"], printed),
                _number(record["wall_minutes"], 2),
                _number(record["calibrated_cost"], 1),
                _number(record["pretraining_minutes"], 2),
            ]
        )
        records.append({"model": label, **record, "paper_minutes": printed})
    notes = [
        "A run has converged at the first epoch whose validation balanced accuracy (median of three epochs) comes "
        "within 0.01 of its best; below 0.55, or with a single class predicted, it has not, and is not averaged.",
        "Means over the converged cells. Minutes: images to convergence over the model's throughput measured alone on "
        "the device, validation not counted; wall minutes: as it happened. A model without epochs shows its fit time.",
        "Calibrated cost: the same time in multiples of 20 steps of a fixed small network on the same device.",
        "The paper's minutes (in brackets) are of one RTX 4090; it does not define convergence.",
        *results.notes(),
    ]
    return Table(5, _heading(results, "Convergence"), columns, rows, _complete(results, notes), records)


TABLES: dict[int, Callable[[Results], Table]] = {1: table_1, 3: table_3, 4: table_4, 5: table_5}


def _convergence(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Average one model's convergence over its cells; minutes are those of the last stage."""
    reached = [cell for cell in cells if cell["convergence"]]
    has_epochs = any(cell["epochs"] for cell in cells)
    costs = [_cost(cell) for cell in (reached if has_epochs else cells)]
    pretraining = [
        sum(stage["train_seconds"] for stage in cell["pretraining"]) / 60 for cell in cells if cell["pretraining"]
    ]
    return {
        "cells": len(cells),
        "has_epochs": has_epochs,
        "converged": len(reached) if has_epochs else None,
        "epochs": _mean([cell["convergence"]["epochs"] for cell in reached]),
        "images": _mean([cell["convergence"]["images"] for cell in reached]),
        "minutes": _mean([seconds / 60 for seconds, _, _ in costs]),
        "wall_minutes": _mean([wall / 60 for _, wall, _ in costs]),
        "calibrated_cost": _mean([seconds / calibration for seconds, _, calibration in costs]),
        "pretraining_minutes": median(pretraining) if pretraining else None,
    }


def _cost(cell: dict[str, Any]) -> tuple[float, float, float]:
    """Seconds to convergence at the speed measured alone, as it happened, and of the calibration workload."""
    timings, point = cell["timings"], cell["convergence"]
    if point is None:
        return timings["fit_seconds"], timings["fit_seconds"], timings["calibration_seconds"]
    alone = timings["images_per_second_alone"]
    seconds = point["images"] / alone if alone else point["train_seconds"]
    return seconds, point["train_seconds"], timings["calibration_seconds"]


def _size_rows(results: Results) -> list[list[str]]:
    """How many images, slides and accessions were tested, and the share of the larger class among them."""
    tested = results.test.drop_duplicates("image")
    by_magnification = {int(m): table for m, table in tested.groupby("magnification")}
    counts: tuple[tuple[str, Callable[[pd.DataFrame], str]], ...] = (
        ("slides", lambda table: str(cases(table).nunique())),
        ("accessions", lambda table: str(table["accession"].nunique())),
        ("images", lambda table: str(len(table))),
        ("majority class", lambda table: f"{100 * table['label'].value_counts(normalize=True).max():.1f}"),
    )
    return [
        [
            title,
            "(tested)",
            *(count(by_magnification[m]) if m in by_magnification else _DASH for m in results.magnifications),
        ]
        for title, count in counts
    ]


def _record(metric: str, label: str, magnification: int, value: float | None, printed: float | None) -> dict[str, Any]:
    difference = None if value is None or printed is None else value - printed / 100
    return {
        "metric": metric,
        "model": label,
        "magnification": magnification,
        "value": value,
        "paper": None if printed is None else printed / 100,
        "difference": difference,
    }


def _state_notes(results: Results) -> list[str]:
    states = results.manifest["state"].value_counts()
    left_out = ", ".join(f"{number} {state}" for state, number in states.items() if state != "used")
    return [f"Left out: {left_out}." if left_out else "No image is left out."]


def _heading(results: Results, title: str) -> str:
    return f"LEAKY - {title}" if results.run["leaky"] else title


def _leaky_only(results: Results) -> list[str]:
    return [note for note in results.notes() if note.startswith("LEAK")]


def _complete(results: Results, notes: list[str]) -> list[str]:
    missing = results.incomplete()
    return [*notes, missing] if missing else notes


def _beside(value: float | None, printed: float | None) -> str:
    if value is None:
        return _DASH
    ours = f"{100 * value:.1f}"
    return ours if printed is None else f"{ours} ({printed:.1f}, {100 * value - printed:+.1f})"


def _with_paper(value: float | None, printed: float | None) -> str:
    ours = _number(value, 3 if value is not None and value < 10 else 1)
    return ours if printed is None else f"{ours} ({printed})"


def _number(value: float | None, digits: int) -> str:
    return _DASH if value is None else f"{value:,.{digits}f}"


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None
