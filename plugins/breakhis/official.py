"""The list of all official BreakHis files, shipped with the plugin.

7,909 rows: name, size in bytes, sha256, and the official folds (``mkfold``) in which the file is a test image.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from harness_plugins.breakhis.names import ImageName, parse_stem

from harness import DataError

N_OFFICIAL_IMAGES = 7909
_COLUMNS = {"filename": r".+\.png", "bytes": r"[0-9]{1,9}", "sha256": r"[0-9a-f]{64}", "test_in_folds": r"[1-5]{1,5}|-"}
"""The columns of the shipped list, and what stands in each."""
_MAX_LIST_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class OfficialFile:
    """An official file.

    Attributes:
        name: What its name says.
        size: In bytes.
        sha256: Of its content.
        test_folds: The official folds that test it, of 1 to 5.
    """

    name: ImageName
    size: int
    sha256: str
    test_folds: frozenset[int]


@cache
def official_files() -> Mapping[str, OfficialFile]:
    """Return the official files by stem."""
    return parse_official_list((resources.files(__package__) / "official.tsv.gz").read_bytes())


def parse_official_list(content: bytes) -> dict[str, OfficialFile]:
    """Read a list of official files as it is shipped: TSV, gzip-compressed.

    Args:
        content: The file's bytes, with the columns ``filename``, ``bytes``, ``sha256`` and ``test_in_folds`` (digits).

    Returns:
        The files by stem.

    Raises:
        DataError: The list is damaged.
    """
    try:
        return {file.name.stem: file for file in _read_files(content)}
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"the list of official files is damaged: {error} - install the harness again") from error


def _read_files(content: bytes) -> list[OfficialFile]:
    """Read the list, and check what each field must look like.

    Raises:
        ValueError: A field is not what its column holds.
    """
    with gzip.open(io.BytesIO(content)) as file:
        text = file.read(_MAX_LIST_BYTES + 1)
    if len(text) > _MAX_LIST_BYTES:
        raise ValueError(f"it unpacks to more than {_MAX_LIST_BYTES:,} bytes")
    head, *rows = [line.split("\t") for line in text.decode().splitlines()] or [[]]
    if head != list(_COLUMNS) or any(len(row) != len(head) for row in rows):
        raise ValueError(f"its columns are not {', '.join(_COLUMNS)}")
    return [_file(*row) for row in rows]


def _file(filename: str, size: str, sha256: str, folds: str) -> OfficialFile:
    for field, (column, pattern) in zip((filename, size, sha256, folds), _COLUMNS.items(), strict=True):
        if not re.fullmatch(pattern, field, re.ASCII):
            raise ValueError(f"{field!r} is no {column}")
    name = parse_stem(filename.removesuffix(".png"))
    if name is None:
        raise ValueError(f"it names {filename!r}")
    return OfficialFile(name, int(size), sha256, frozenset(int(digit) for digit in folds.strip("-")))
