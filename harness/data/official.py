"""The list of all official BreakHis files, shipped with the package.

7,909 rows: name, size in bytes, sha256, and the official folds (``mkfold``) in which the file is a test image.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import pandas as pd

from harness.data.names import parse_stem

N_OFFICIAL_IMAGES = 7909
OFFICIAL_FOLDS = (1, 2, 3, 4, 5)


@cache
def official_list() -> pd.DataFrame:
    """Return the official files, one row each, indexed by stem; treat it as read-only.

    Columns: ``filename``, ``bytes`` (int64), ``sha256``, ``test_folds`` (frozenset of int), and what the name says:
    ``slide``, ``accession``, ``type``, ``magnification``, ``label``.
    """
    with resources.as_file(resources.files("harness.data") / "breakhis_official.tsv.gz") as path:
        table = pd.read_csv(path, sep="\t", dtype={"test_in_folds": str})
    names = [parse_stem(filename.removesuffix(".png")) for filename in table["filename"]]
    known = [name for name in names if name is not None]
    return table.assign(
        name=[name.stem for name in known],
        slide=[name.slide for name in known],
        accession=[name.accession for name in known],
        type=[name.tumour_type for name in known],
        magnification=[name.magnification for name in known],
        label=[name.label for name in known],
        test_folds=[frozenset(int(d) for d in folds.strip("-")) for folds in table["test_in_folds"]],
    ).set_index("name")[
        ["filename", "bytes", "sha256", "test_folds", "slide", "accession", "type", "magnification", "label"]
    ]
