"""BreakHis in tests: its official list as a table, its generated images, its manifest."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from harness_plugins.breakhis import BreakHis, BreakHisOptions
from harness_plugins.breakhis.official import official_files

from harness.data.description import DataSetDescription
from harness.data.manifest import digest_files, make_manifest
from harness.plugin_api.data_set_answers import DescribedImage
from harness.plugin_api.data_set_process import _described, _row
from harness.protocol.protocols import protocols_of
from harness.synthetic.settings import SyntheticSettings
from harness.synthetic.slides import write_slides


def described(**options) -> DataSetDescription:
    """What BreakHis says of itself, in this process."""
    return DataSetDescription(**_described(BreakHis(BreakHisOptions(**options)), {}, generated=True))


BREAKHIS = described()
PROTOCOLS = protocols_of(BREAKHIS)


def official_table() -> pd.DataFrame:
    """The official files, one row each, indexed by stem, with the columns of a manifest."""
    rows = [
        {
            "name": stem,
            "sha256": file.sha256,
            "hold_outs": file.test_folds,
            "group": file.name.accession,
            "subgroup": file.name.slide,
            "subtype": file.name.tumour_type,
            "stratum": f"{file.name.magnification}x",
            "label": file.name.label,
        }
        for stem, file in official_files().items()
    ]
    return pd.DataFrame(rows).set_index("name")


def scan_folder(root: Path, policy: str = "drop-dc") -> pd.DataFrame:
    """The manifest of a folder of BreakHis, made in this process."""
    digests = digest_files(root)
    data_set = BreakHis(BreakHisOptions(slide_13412=policy))
    records = [DescribedImage(**_row(record)) for record in data_set.records(root, list(digests))]
    return make_manifest(root, digests, records, BREAKHIS)


def write_synthetic_breakhis(folder: Path, settings: SyntheticSettings, on_progress=None) -> int:
    """Generate images under official names, as ``harness data phantom`` does."""
    slides = list(BreakHis().generated(settings.accessions, settings.images, like_published=settings.like is not None))
    write_slides(folder, slides, settings.size, settings.seed, on_progress)
    return len(slides)
