"""Cohorts: data sets that a table describes, without any code."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field, model_validator

from harness.data.description import ONE_STRATUM, DataSetDescription
from harness.errors import DataError, did_you_mean
from harness.settings import Settings
from harness.text import natural_order

_MAX_BYTES = 200_000_000
_NAMED = 3
_SEPARATORS = (",", ";", "\t")
_LONGEST, _MOST_NAMES = 100, 1000
_Column = Annotated[str, Field(min_length=1)]


class CohortColumns(Settings):
    """What the columns of a cohort's table are called; those that are not named are facts.

    Attributes:
        file: Path of the image, below the folder of the images.
        label: Its class.
        group: What is kept apart, such as the patient. Without it nothing can be, and ``allow_leak`` must be set.
        subgroup: What a group consists of, such as the slide; needs ``group``.
        stratum: What the tables have a column for, such as the magnification; one column by default.
        subtype: What the class divides into.
        name: What predictions call the image; the file's name by default.
    """

    file: _Column = "file"
    label: _Column = "label"
    group: _Column | None = None
    subgroup: _Column | None = None
    stratum: _Column | None = None
    subtype: _Column | None = None
    name: _Column | None = None

    @model_validator(mode="after")
    def _check(self) -> CohortColumns:
        if self.subgroup is not None and self.group is None:
            raise ValueError("a subgroup needs a group that it is part of")
        return self

    @property
    def named(self) -> list[str]:
        """All columns that are named."""
        return [column for column in self.model_dump().values() if column is not None]


@dataclass(frozen=True)
class CohortImage:
    """A row of the table; see :class:`~harness.ImageRecord`."""

    file: str
    name: str
    label: str
    groups: tuple[str, ...]
    stratum: str
    subtype: str
    facts: Mapping[str, str] = field(default_factory=dict)
    hold_outs: None = None
    left_out: bool = False


@dataclass(frozen=True)
class Cohort:
    """A table, read.

    Attributes:
        description: The data set that it is.
        images: Its rows.
    """

    description: DataSetDescription
    images: list[CohortImage]


def read_cohort(table: Path, columns: CohortColumns, classes: Sequence[str] | None = None) -> Cohort:
    """Read a cohort from a CSV file.

    Args:
        table: One row an image; columns that are not named are facts.
        columns: What the columns are called.
        classes: Their order; the order of the alphabet by default.

    Raises:
        DataError: There is no such table, it lacks a column or a field, or its rows contradict each other.
    """
    rows = _read_rows(table)
    _refuse_missing_columns(table, rows[0], columns)
    for number, row in enumerate(rows, start=2):
        empty = [column for column in columns.named if not (row[column] or "").strip()]
        if None in row:
            raise DataError(f"line {number} of {table} has more fields than the first line - quote the commas")
        if empty:
            raise DataError(f"line {number} of {table} has no {empty[0]} - fill it in, or leave the line out")
    names = _names(table, rows, columns)
    images = [_image(row, name, columns) for row, name in zip(rows, names, strict=True)]
    found = natural_order({image.label for image in images})
    if unknown := [label for label in found if classes is not None and label not in classes]:
        raise DataError(
            f"{table} has the class '{unknown[0]}', which data.classes does not name: {', '.join(classes or ())}"
        )
    if len(found) < 2:
        raise DataError(f"{table} has one class in column '{columns.label}', {found[0]}; at least two are needed")
    strata = natural_order({image.stratum for image in images}) if columns.stratum else [ONE_STRATUM]
    for column, values in ((columns.label, found), (columns.stratum, strata)):
        longest = max(map(len, values))
        if len(values) > _MOST_NAMES or longest > _LONGEST:
            raise DataError(
                f"{table} has {len(values)} different values in column '{column}', the longest of {longest} letters; "
                f"tables have room for {_MOST_NAMES} of {_LONGEST} - is it the right column?"
            )
    description = DataSetDescription(
        name=table.stem[:_LONGEST],
        classes=list(classes or found),
        groups=[column for column in (columns.group, columns.subgroup) if column is not None],
        strata=strata,
        subtype=columns.subtype,
    )
    return Cohort(description, images)


def _read_rows(table: Path) -> list[dict[str, str]]:
    try:
        content = table.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {table}: {error.strerror} - data.table is taken from the folder that the command is run in"
        ) from error
    if len(content) > _MAX_BYTES:
        raise DataError(f"{table} has {len(content):,} bytes; a table of images has at most {_MAX_BYTES:,}")
    try:
        text = content.decode("utf-8-sig")
        head = text.partition("\n")[0]
        separator = max(_SEPARATORS, key=head.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        if twice := list(_repeated(reader.fieldnames or [])):
            raise DataError(f"{table} has the column '{twice[0]}' twice - rename one of them")
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as CSV in UTF-8: {error}") from error
    if not rows:
        raise DataError(f"{table} holds no image: one row an image is needed, below a line of names")
    return rows


def _refuse_missing_columns(table: Path, row: Mapping[str, str], columns: CohortColumns) -> None:
    for meaning, column in vars(columns).items():
        if column is not None and column not in row:
            known = ", ".join(map(str, row))
            raise DataError(
                f"{table} has no column '{column}'{did_you_mean(column, map(str, row))} (it has {known}) - say which "
                f"column is the {meaning} with data.columns.{meaning}"
            )


def _names(table: Path, rows: Sequence[Mapping[str, str]], columns: CohortColumns) -> list[str]:
    """Name images by their column, by their files' names, or by whole paths where files of one name lie in folders."""
    if twice := list(_repeated([PurePosixPath(row[columns.file].strip()).as_posix() for row in rows])):
        raise DataError(f"{table} has several rows of {', '.join(twice[:_NAMED])} - keep one row for each image")
    if columns.name is not None:
        names = [row[columns.name].strip() for row in rows]
    else:
        paths = [PurePosixPath(row[columns.file].strip()) for row in rows]
        names = [path.stem for path in paths]
        if len(set(names)) < len(names):
            names = ["__".join(path.with_suffix("").parts) for path in paths]
    if twice := list(_repeated(names)):
        raise DataError(f"{table} calls several images {', '.join(twice[:_NAMED])} - give each a name of its own")
    return names


def _repeated(names: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)


def _image(row: Mapping[str, str], name: str, columns: CohortColumns) -> CohortImage:
    def value(column: str | None) -> str:
        return row[column].strip() if column is not None else ""

    return CohortImage(
        file=PurePosixPath(value(columns.file)).as_posix(),
        name=name,
        label=value(columns.label),
        groups=tuple(value(column) for column in (columns.group, columns.subgroup) if column is not None),
        stratum=value(columns.stratum),
        subtype=value(columns.subtype),
        facts={column: text for column, text in row.items() if column not in columns.named and text},
    )
