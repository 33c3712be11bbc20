"""The paper's tables 1, 3, 4 and 5, each a pure function of a run folder."""

from __future__ import annotations

from statistics import fmean, median
from typing import Any

from harness.data.manifest import count_images, published_counts
from harness.evaluation.convergence import least_plateau
from harness.reporting import paper
from harness.reporting.cost import training_cost
from harness.reporting.machines import MIXED, by_machine, machine_notes
from harness.reporting.results import Results
from harness.reporting.table import DASH, Table
from harness.store.schema import DoneRecord


def table_1(results: Results) -> Table:
    """The images, by class and stratum, beside the published counts where there are any."""
    data_set = results.data_set
    held, official = count_images(results.images, data_set), published_counts(data_set)

    def both(row: str, column: str) -> str:
        return str(held.loc[row, column]) + ("" if official is None else f" ({official.loc[row, column]})")

    rows = [[str(name), *(both(name, column) for column in held.columns)] for name in held.index]
    records = [
        {
            "row": str(name),
            "class": column,
            "images": int(held.loc[name, column]),
            "official": None if official is None else int(official.loc[name, column]),
        }
        for name in held.index
        for column in held.columns
    ]
    notes = [
        f"{'' if official is None else 'In brackets: the official counts. '}A case is a {data_set.subgroup} under one "
        f"{data_set.subtype or 'class'}.",
        *_state_notes(results),
        *results.scored_notes(),
    ]
    return Table(
        name="table1",
        number=1,
        title=results.heading("Images"),
        columns=["", *held.columns],
        rows=rows,
        notes=notes,
        records=records,
    )


def table_4(results: Results) -> Table:
    """Parameters and sizes, the paper's beside them."""
    columns = ["model", "parameters (M)", "trained (M)", "weights (MB)", "checkpoint (MB)", "forward (GFLOP)"]
    rows, records = [], []
    for label in results.labels:
        cell, network = results.cells_of(label)[0], results.paper_network(label) or ""
        numbers = {
            "parameters_millions": _scaled(cell.parameters, 1e6),
            "trained_parameters_millions": _scaled(cell.trainable_parameters, 1e6),
            "weights_mb": _scaled(cell.weights_bytes, 1e6),
            "checkpoint_mb": _scaled(cell.checkpoint_bytes, 1e6),
            "forward_gflop": _scaled(cell.forward_flop, 1e9),
        }
        printed = {
            "parameters_millions": paper.PARAMETERS_MILLIONS.get(network),
            "weights_mb": paper.SIZE_MB.get(network),
        }
        rows.append([label, *(_with_paper(numbers[key], printed.get(key)) for key in numbers)])
        records.append({"model": label, **numbers, **{f"paper_{key}": value for key, value in printed.items()}})
    size = results.run.config.pixels.size
    notes = [
        f"MB of 10^6 bytes; a multiply-add is two operations; input {size} x {size} pixels."
        + " In brackets: the paper's." * results.is_of_paper,
        "Trained: parameters that the last stage trains. Checkpoint: weights and the optimiser's state.",
        *results.paper_notes(),
        *paper.DOUBTS[1:] * results.is_of_paper,
        *results.scored_notes(),
        *_leaky_only(results),
    ]
    return Table(
        name="table4",
        number=4,
        title=results.heading("Parameters and size"),
        columns=columns,
        rows=rows,
        notes=[*notes, *results.missing_notes()],
        records=records,
    )


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
        printed = paper.CONVERGENCE_MINUTES.get(results.paper_network(label) or "")
        machines = by_machine(results.cells_of(label))
        record = _convergence(results.cells_of(label))
        rows.append(_convergence_row(label if len(machines) == 1 else f"{label} {MIXED}", record, printed))
        records.append({"model": label, **record, "paper_minutes": printed})
        for machine, cells in machines.items() if len(machines) > 1 else ():
            record = _convergence(cells)
            rows.append(_convergence_row(f"{label} on {machine}", record, None))
            records.append({"model": label, **record, "paper_minutes": None, "machine": machine})
    notes = [
        "A run has converged where a saturating curve fitted to its validation balanced accuracy has made 90 % of its "
        f"rise from {results.chance:.3g}. A run whose plateau (the last quarter of its epochs) stays below "
        f"{least_plateau(results.chance):.3g}, that predicts a single "
        "class, or whose curve is still rising at the end has not converged, and is not averaged.",
        "Means over the converged cells. Images: those trained on, and those that frozen layers turned into features "
        "first. Minutes: those images at the speeds measured alone on the device, validation not counted; wall "
        "minutes: as it happened. A model without epochs shows its fit time.",
        "Calibrated cost: the same time in multiples of 20 steps of a fixed small network on the same device.",
        *["The paper's minutes are of one RTX 4090; it does not define convergence."] * results.is_of_paper,
        *_unmeasured(results),
        *machine_notes(results),
        *results.paper_notes(),
        *results.notes(),
    ]
    return Table(
        name="table5",
        number=5,
        title=results.heading("Convergence"),
        columns=columns,
        rows=rows,
        notes=[*notes, *results.missing_notes()],
        records=records,
    )


def _convergence_row(name: str, record: dict[str, Any], printed: float | None) -> list[str]:
    return [
        name,
        f"{record['converged']} of {record['cells']}" if record["has_epochs"] else DASH,
        _number(record["epochs"], 1),
        _number(record["images"], 0),
        _with_paper(record["minutes"], printed),
        _number(record["wall_minutes"], 2),
        _number(record["calibrated_cost"], 1),
        _number(record["pretraining_minutes"], 2),
    ]


def _unmeasured(results: Results) -> list[str]:
    """Name the models of which cells have no speed alone although they train in epochs, or no calibration."""
    labels = [label for label in results.labels if any(map(_lacks_cost, results.cells_of(label)))]
    if not labels:
        return []
    return [
        f"NOT COMPARABLE in cost: {', '.join(labels)}, of which cells ran where no speed was measured: in loops of "
        "their own beside other cells, which --jobs 1 measures, on a machine of another kind or with other libraries "
        "than that of the command, or after a timing that failed. The row averages the others."
    ]


def _lacks_cost(cell: DoneRecord) -> bool:
    timings = cell.timings
    return timings is not None and (
        not timings.calibration_seconds or bool(cell.epochs and not timings.images_per_second_alone)
    )


def _convergence(cells: list[DoneRecord]) -> dict[str, Any]:
    """Average one model's convergence over its cells; minutes are those of the last stage."""
    reached = [cell for cell in cells if cell.convergence]
    points = [point for cell in cells if (point := cell.convergence)]
    has_epochs = any(cell.epochs for cell in cells)
    costs = [cost for cell in (reached if has_epochs else cells) if (cost := _cost(cell)) is not None]
    pretraining = [sum(stage.train_seconds for stage in cell.pretraining) / 60 for cell in cells if cell.pretraining]
    return {
        "cells": len(cells),
        "has_epochs": has_epochs,
        "converged": len(reached) if has_epochs else None,
        "epochs": _mean([point.epochs for point in points]),
        "images": _mean(
            [training_cost(cell, point.images).images for cell, point in zip(reached, points, strict=True)]
        ),
        "feature_images": _mean([cell.feature_images or 0 for cell in reached]),
        "minutes": _mean([seconds / 60 for seconds, _, _ in costs]),
        "wall_minutes": _mean([wall / 60 for _, wall, _ in costs]),
        "calibrated_cost": _mean([calibrated for _, _, calibrated in costs if calibrated is not None]),
        "pretraining_minutes": median(pretraining) if pretraining else None,
    }


def _cost(cell: DoneRecord) -> tuple[float, float, float | None] | None:
    """Seconds to convergence at the speeds measured alone, seconds as it happened, and the calibrated cost.

    Where no speed is known, the first is as it happened. None for predictions that were made elsewhere.
    """
    point = cell.convergence
    if cell.timings is None:
        return None
    if point is None:
        fitted, unit = cell.timings.fit_seconds, cell.timings.calibration_seconds
        return fitted, fitted, fitted / unit if unit else None
    cost, wall = training_cost(cell, point.images), point.train_seconds
    return wall if cost.seconds is None else cost.seconds, wall, cost.calibrated


def _state_notes(results: Results) -> list[str]:
    states = results.manifest["state"].value_counts()
    left_out = ", ".join(f"{number} {state}" for state, number in states.items() if state != "used")
    return [f"Left out: {left_out}." if left_out else "No image is left out."]


def _leaky_only(results: Results) -> list[str]:
    return [note for note in results.notes() if note.startswith("LEAK")]


def _with_paper(value: float | None, printed: float | None) -> str:
    ours = _number(value, 3 if value is not None and value < 10 else 1)
    return ours if printed is None else f"{ours} ({printed})"


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None else f"{value:,.{digits}f}"


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None
