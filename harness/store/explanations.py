"""Overlays of a run folder: where in its test images a model finds evidence.

``RUN/explanations/<cell>/<image>.png`` is 8-bit grey and of the size that the model sees; ``explanation.json`` beside
it says for which results of the cell it holds, and how it was made.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.data.png import png_fault
from harness.durable import cannot_write, replacing, write_json
from harness.errors import DataError
from harness.store.json_files import read_file, read_json
from harness.store.record import Count, Record, read_record

FOLDER = "explanations"
SCHEMA_VERSION = 1

_RECORD = "explanation.json"
_MAX_BYTES = 4 << 20
_PNG = b"\x89PNG\r\n\x1a\n"


class ExplanationRecord(Record):
    """``explanation.json``.

    Attributes:
        schema_version: Of the record.
        key: Of the cell whose model was explained.
        how: How, by what it is: ``method``, ``layer``, ``captum`` (its version).
    """

    schema_version: Count = SCHEMA_VERSION
    key: str
    how: dict[str, str]


def read_explanation(folder: Path, cell: str, key: str, image: str) -> bytes | None:
    """Return the overlay of an image.

    Args:
        folder: The run folder.
        cell: The cell's name.
        key: The cell's key; overlays of other results are none of its own.
        image: The image's name, without an ending.

    Returns:
        A PNG, 8-bit grey (S, S), 255 where there is the most evidence; None where there is none.

    Raises:
        DataError: Something else lies in its place, or more than 4 MiB.
    """
    place = _place(folder, cell)
    if place is None or not _is_name(image) or not _is_of(place, key):
        return None
    file = place / f"{image}.png"
    content = None if file.is_symlink() else read_file(file, _MAX_BYTES)
    if content is not None and (not content.startswith(_PNG) or png_fault(content) is not None):
        raise DataError(f"{file} is no overlay - remove it; 'harness explain' makes it anew")
    return content


def missing_explanations(folder: Path, cell: str, key: str, images: Iterable[str]) -> list[str]:
    """List the images that have no overlay which could be read; the arguments are those of :func:`read_explanation`."""
    return [image for image in images if not _can_be_read(folder, cell, key, image)]


def write_explanations(folder: Path, cell: str, record: ExplanationRecord, pictures: Mapping[str, bytes]) -> None:
    """Write overlays beside those of the same key; what is there of another key is removed.

    Args:
        folder: The run folder.
        cell: The cell's name.
        record: For ``explanation.json``.
        pictures: PNGs by the image's name.

    Raises:
        DataError: A link or a file is in the place of a folder.
        EnvironmentMissingError: There is no room for them.
    """
    place = _own_folder(_own_folder(folder / FOLDER) / cell)
    if not _is_sound(place, record.key):
        _empty(place)
        write_json(place / _RECORD, record.to_json())  # first: no picture ever stands beside another key
    for image, picture in pictures.items():
        with replacing(place / f"{image}.png") as beside:
            beside.write_bytes(picture)


def _place(folder: Path, cell: str) -> Path | None:
    return folder / FOLDER / cell if _is_name(cell) else None


def _is_name(name: str) -> bool:
    """Whether it names something in a folder and leads nowhere else: a run folder may come from anywhere."""
    return Path(name).name == name and "\0" not in name


def _is_of(place: Path, key: str) -> bool:
    values = read_json(place / _RECORD)
    if values is None:
        return False
    record = read_record(ExplanationRecord, values, place / _RECORD)
    return (record.schema_version, record.key) == (SCHEMA_VERSION, key)


def _is_sound(place: Path, key: str) -> bool:
    try:
        return _is_of(place, key)
    except DataError:
        return False


def _can_be_read(folder: Path, cell: str, key: str, image: str) -> bool:
    try:
        return read_explanation(folder, cell, key, image) is not None
    except DataError:
        return False


def _own_folder(folder: Path) -> Path:
    """Make a folder if it is not there; a link could lead anywhere.

    Raises:
        DataError: A link or a file is in its place.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DataError(f"{folder} is a link or a file where overlays are to be written - remove it")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def _empty(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
        folder.mkdir()
    except OSError as error:
        raise cannot_write(folder, error) from error
