"""The list of all official BreakHis files, shipped with the package.

7,909 rows: name, size in bytes, sha256, and the official folds (``mkfold``) in which the file is a test image.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from functools import cache
from importlib import resources

import pandas as pd

from harness.data.names import parse_stem, stratum_name
from harness.errors import DataError

N_OFFICIAL_IMAGES = 7909
OFFICIAL_FOLDS = (1, 2, 3, 4, 5)
_COLUMNS = {"filename": r".+\.png", "bytes": r"[0-9]{1,9}", "sha256": r"[0-9a-f]{64}", "test_in_folds": r"[1-5]{1,5}|-"}
"""The columns of the shipped list, and what stands in each."""
_MAX_LIST_BYTES = 10_000_000


@cache
def official_list() -> pd.DataFrame:
    """Return the official files, one row each, indexed by stem; treat it as read-only.

    Columns: ``filename``, ``bytes`` (int64), ``sha256``, ``test_folds`` (frozenset of int), and what the name says:
    ``slide``, ``accession``, ``type``, ``stratum``, ``label``.
    """
    content = (resources.files("harness.data") / "breakhis_official.tsv.gz").read_bytes()
    return parse_official_list(content)


def parse_official_list(content: bytes) -> pd.DataFrame:
    """Read a list of official files as it is shipped: TSV, gzip-compressed.

    Args:
        content: The file's bytes, with the columns ``filename``, ``bytes``, ``sha256`` and ``test_in_folds`` (digits).

    Returns:
        The table of :func:`official_list`.

    Raises:
        DataError: The list is damaged.
    """
    try:
        table = _read_table(content)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"the list of official files is damaged: {error} - install the harness again") from error
    names = [parse_stem(filename.removesuffix(".png")) for filename in table["filename"]]
    known = [name for name in names if name is not None]
    if len(known) < len(table):
        unknown = table["filename"].iloc[names.index(None)]
        raise DataError(f"the list of official files is damaged: it names {unknown!r} - install the harness again")
    return table.assign(
        name=[name.stem for name in known],
        slide=[name.slide for name in known],
        accession=[name.accession for name in known],
        type=[name.tumour_type for name in known],
        stratum=[stratum_name(name.magnification) for name in known],
        label=[name.label for name in known],
        test_folds=[frozenset(int(d) for d in folds.strip("-")) for folds in table["test_in_folds"]],
    ).set_index("name")[["filename", "bytes", "sha256", "test_folds", "slide", "accession", "type", "stratum", "label"]]


def _read_table(content: bytes) -> pd.DataFrame:
    """Read the columns, and check what each field must look like.

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
    for row in rows:
        for field, (column, pattern) in zip(row, _COLUMNS.items(), strict=True):
            if not re.fullmatch(pattern, field, re.ASCII):
                raise ValueError(f"{field!r} is no {column}")
    return pd.DataFrame(rows, columns=head, dtype=str).astype({"bytes": "int64"})
