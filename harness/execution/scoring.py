"""Scoring of predictions that were made elsewhere: held to the same division, they become a row of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from harness.config.run_config import ModelSettings, RunConfig
from harness.data.manifest import IMAGE_SUFFIXES, sha256_of_file
from harness.errors import UsageError
from harness.evaluation.cell_metrics import measure
from harness.execution.cell_results import (
    HISTORY_COLUMNS,
    done_record,
    prediction_side,
    probability_columns,
    scored_columns,
)
from harness.planning.cell_images import CellImages
from harness.planning.cell_keys import plan_cells
from harness.planning.splits import Division
from harness.protocol.names import TEST
from harness.store.cells import Cell
from harness.store.keys import hash_of
from harness.store.run_store import RunStore
from harness.store.schema import SCORED, SHARED_PARTS, DoneRecord, RunRecord, ScoredRecord

PREFIX = f"{SCORED}:"
"""Of the label of every such row, so that no table shows it as trained here."""

_PLACE = ["seed", "fold", "image"]
_TOLERANCE = 1e-3
_MOST_BYTES = 1 << 30
_NAMED = 3
_SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class ScoredPredictions:
    """Predictions of test images.

    Attributes:
        label: Of the row.
        source: The file that held them.
        table: ``seed fold image`` and a probability a class, one row a test image, fold and seed.
    """

    label: str
    source: ScoredRecord
    table: pd.DataFrame


def label_of(file: Path, name: str | None) -> str:
    """Return the label of the row: what the user calls it, or the file's name."""
    return f"{PREFIX}{(name or file.stem).removeprefix(PREFIX)}"


def with_scored_row(config: RunConfig, label: str) -> RunConfig:
    """Return a config of one scored row alone."""
    return config.model_copy(update={"models": {label: ModelSettings(plugin=SCORED)}, "reference": None})


def read_predictions(file: Path, table: pd.DataFrame, label: str, division: Division) -> ScoredPredictions:
    """Read predictions from the texts of a table.

    Args:
        file: Where they come from.
        table: From :func:`read_table`, with the columns ``image``, ``fold``, ``seed`` and ``p_<class>`` of each
            class. An image goes by its name,
            with or without folder and ending. ``fold`` and ``seed`` may be left out where there is one, and one of two
            probabilities where it is what the other leaves of 1.
        label: Of the row.
        division: That they are held to.

    Raises:
        UsageError: It is no such table; the first line that is wrong is named.
    """
    probabilities = probability_columns(division.data_set.classes)
    table = _named_probabilities(table, probabilities)
    for column, values in (("fold", division.protocol.folds), ("seed", division.config.seeds)):
        if column not in table and len(values) == 1:
            table[column] = str(values[0])
    _fill_probability(table, probabilities)
    if lacking := [column for column in ("image", "fold", "seed", *probabilities) if column not in table]:
        raise UsageError(
            f"{file} has no column '{lacking[0]}' - it needs image, fold, seed, {', '.join(probabilities)}, and has "
            f"{', '.join(map(str, table.columns))[:200]}"
        )
    known = set(division.images["name"])
    names = table["image"].map(lambda image: image.strip() if image.strip() in known else _image_name(image))
    found = pd.DataFrame({column: _numbers(file, table[column]) for column in ("seed", "fold", *probabilities)})
    _refuse_no_probabilities(file, found, probabilities)
    whole = found.assign(image=names).astype({"seed": "int64", "fold": "int64"})
    return ScoredPredictions(label, ScoredRecord(file=file.name, sha256=sha256_of_file(file)), whole)


def score_cells(scored: ScoredPredictions, division: Division) -> dict[Cell, pd.DataFrame]:
    """Hold predictions to a division: the test images of each cell, with what was predicted.

    Raises:
        UsageError: A test image is missing, stands there twice, or is none of that fold and seed.
    """
    planned = plan_cells([scored.label], division.config, division.protocol.folds)
    images = CellImages(division)
    cells = {cell: _tested(images.rows(cell)) for cell in planned}
    wanted = pd.concat([rows.assign(seed=cell.seed, fold=cell.fold) for cell, rows in cells.items()])
    wanted = wanted.rename(columns={"name": "image"})[_PLACE]
    # a table for all strata does for some of them
    elsewhere = division.images.loc[~division.images["stratum"].isin(division.config.chosen_strata), "name"]
    file, given = scored.source.file, scored.table[~scored.table["image"].isin(elsewhere)]
    _refuse(file, "stand there twice", given[given.duplicated(_PLACE)])
    both = wanted.merge(given, on=_PLACE, how="outer", indicator="found_in")
    # what is there and wrong says more than what is not there
    _refuse(file, "are no test images of that fold and seed", both[both["found_in"] == "right_only"])
    _refuse(file, "are missing", both[both["found_in"] == "left_only"])
    by_place = given.set_index(_PLACE)
    classes = division.data_set.classes
    return {cell: _predicted(cell, rows, by_place, classes) for cell, rows in cells.items()}


def store_scored(scored: ScoredPredictions, cells: dict[Cell, pd.DataFrame], run: RunRecord, store: RunStore) -> None:
    """Write the cells of a scored row into a run folder that is open for writing."""
    history = pd.DataFrame([], columns=list(HISTORY_COLUMNS))
    for cell, predictions in cells.items():
        saved = store.saving_folder(store.working_folder(cell.name))
        store.finish_cell(cell.name, saved, _record(scored, cell, predictions, run), predictions, history)


def read_table(file: Path) -> pd.DataFrame:
    """Read a CSV as a table of texts, whatever separates its columns; rows without a word are none.

    Raises:
        UsageError: There is none that can be read.
    """
    if not file.is_file():
        raise UsageError(f"no such file: {file}")
    if file.stat().st_size > _MOST_BYTES:
        raise UsageError(f"{file} has {file.stat().st_size:,} bytes; predictions need no more than {_MOST_BYTES:,}")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text - save it as 'CSV UTF-8', or with encoding='utf-8'") from None
    if text[:4].lower() == "sep=":  # Excel's word for what separates columns
        text = text.partition("\n")[2]
    head = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=head.count)
    names = [name.strip().strip('"').lower() for name in head.split(separator)]
    if twice := [name for name in names if names.count(name) > 1 and name]:
        raise UsageError(f"{file} has the column '{twice[0]}' twice")
    try:
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise UsageError(f"{file} is no CSV that can be read: {str(error).splitlines()[0]}") from error
    table = table.rename(columns=lambda name: str(name).strip().lower())
    table = table[table.ne("").any(axis=1)]
    if separator == ",":
        return table
    of_numbers = [name for name in table.columns if name.startswith("p_")]
    return table.assign(**{name: table[name].str.replace(",", ".") for name in of_numbers})


def _named_probabilities(table: pd.DataFrame, probabilities: Sequence[str]) -> pd.DataFrame:
    """Name columns of probabilities as their classes are, which may have capitals."""
    known = {name.lower(): name for name in probabilities}
    return table.rename(columns=lambda name: known.get(name, name))


def _image_name(image: str) -> str:
    path = PureWindowsPath(image.strip())  # it takes both kinds of slashes
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name


def _fill_probability(table: pd.DataFrame, probabilities: Sequence[str]) -> None:
    """Add the probability of one of two classes where the other's is given."""
    known = [column for column in probabilities if column in table]
    if len(probabilities) == 2 and len(known) == 1:
        (other,) = set(probabilities) - set(known)
        table[other] = (1 - pd.to_numeric(table[known[0]], errors="coerce")).astype(str)


def _numbers(file: Path, column: pd.Series[Any]) -> pd.Series[float]:
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise UsageError(f"{file}, line {wrong[0] + 2}: {column.name} is '{column.iloc[wrong[0]]}', which is no number")
    return numbers


def _refuse_no_probabilities(file: Path, found: pd.DataFrame, probabilities: Sequence[str]) -> None:
    for column in ("seed", "fold"):
        if len(wrong := np.flatnonzero(found[column] % 1 != 0)):
            raise UsageError(
                f"{file}, line {wrong[0] + 2}: {column} {found[column].iloc[wrong[0]]:g} is no whole number"
            )
    values = found[list(probabilities)].to_numpy(float)
    bad = (values < 0).any(axis=1) | (values > 1).any(axis=1) | (abs(values.sum(axis=1) - 1) > _TOLERANCE)
    if len(wrong := np.flatnonzero(bad)):
        found_there = ", ".join(f"{value:g}" for value in values[wrong[0]])
        raise UsageError(
            f"{file}, line {wrong[0] + 2}: {', '.join(probabilities)} are {found_there}; "
            "probabilities lie between 0 and 1 and sum to 1"
        )


def _refuse(file: str, what: str, rows: pd.DataFrame) -> None:
    if rows.empty:
        return
    named = "; ".join(
        f"{row.image} (fold {row.fold}, seed {row.seed})" for row in rows.sort_values(_PLACE).head(_NAMED).itertuples()
    )
    more = f"; and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    raise UsageError(
        f"{file}: {len(rows)} rows {what}: {named}{more} - every test image stands there once a fold and seed; "
        "'harness splits CONFIG --json' says which they are"
    )


def _tested(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["side"] == TEST]


def _predicted(cell: Cell, rows: pd.DataFrame, by_place: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return a cell's predictions as they are stored."""
    places = pd.MultiIndex.from_arrays([[cell.seed] * len(rows), [cell.fold] * len(rows), rows["name"]])
    found = by_place.loc[places, probability_columns(classes)].to_numpy(float)
    return prediction_side(cell, TEST, rows, found, classes)


def _record(scored: ScoredPredictions, cell: Cell, predictions: pd.DataFrame, run: RunRecord) -> DoneRecord:
    """Return the record of a scored cell: what was measured of it, and nothing that was not."""
    name, source = SCORED, scored.source
    parts = {**dict.fromkeys(SHARED_PARTS, "none"), "plugin": hash_of([scored.label, source.sha256])}
    unknown = ("parameters", "trainable_parameters", "weights_bytes", "checkpoint_bytes", "forward_flop")
    values: dict[str, Any] = {
        "state": "done",
        "model": scored.label,
        "plugin": {"model": name, "distribution": "file", "files": {source.file: source.sha256}},
        "given": {"plugin": name, "options": {}},
        "options": {},
        "stratum": cell.stratum,
        "fold": cell.fold,
        "seed": cell.seed,
        "key": hash_of(parts),
        "key_parts": parts,
        "comparison_key": run.comparison_key,
        "device": {"type": "elsewhere"},
        "concurrency": 1,
        "versions": {},
        "reproduces": None,
        "deviations": [],
        "is_shortcut": False,
        "metrics": measure(scored_columns(predictions, run.data_set.classes)),
        "validation_metrics": None,
        "single_class": bool((predictions["predicted"] == predictions["predicted"].iloc[0]).all()),
        **dict.fromkeys(unknown),
        "execution_mode": "none",
        "start_up_seconds": None,
        "precision": "unknown",
        "feature_images": None,
        "inspection": {},
        "epochs": 0,
        "convergence": None,
        "pretraining": [],
        "timings": None,
        "peak_memory_mb": None,
        "scored": source.to_json(),
    }
    return done_record(values)
