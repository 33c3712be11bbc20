"""The images of a finished run, decoded once more as they were for it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.manifest import DAMAGED, USED
from harness.errors import DataError
from harness.planning.decode_images import decode_images
from harness.planning.fold_pixels import DecodedRun, pixels_of_folds
from harness.planning.image_set import Progress, scan_images
from harness.planning.splits import Division
from harness.protocol.protocols import find_protocol


def decoded_as_run(
    config: RunConfig, manifest: pd.DataFrame, splits: pd.DataFrame, cache: Cache, on_progress: Progress | None = None
) -> tuple[Division, DecodedRun]:
    """Decode the images of a run, on the sides that the run has written down.

    Args:
        config: Of the run.
        manifest: Its images.
        splits: Its sides.
        cache: The cache.
        on_progress: Is told of images that must be generated or decoded first.

    Raises:
        DataError: The images are not there, or are not the run's.
    """
    scanned = scan_images(config, cache, on_progress)
    _refuse_other_images(manifest, scanned.manifest, scanned.folder)
    images = decode_images(scanned, cache, on_progress)
    protocol = find_protocol(config.protocol, images.data_set)
    division = Division(
        images.config, images.data_set, protocol, images.folder, images.manifest, splits, leaks=[], shared_groups=0
    )
    return division, pixels_of_folds(division, images.decoded, cache)


def _refuse_other_images(of_run: pd.DataFrame, found: pd.DataFrame, folder: Path) -> None:
    """Go on with no images that are not those of the run.

    Raises:
        DataError: One of them is missing, has other contents, or was not there.
    """
    then, now = (_contents(manifest) for manifest in (of_run, found))
    missing = then.index.difference(now.index)
    other = [name for name in then.index.intersection(now.index) if then[name] != now[name]]
    added = now.index.difference(then.index)
    kinds = {"are not there": list(missing), "have other contents": other, "are not the run's": list(added)}
    faults = [f"{len(names)} {what} ({names[0]})" for what, names in kinds.items() if names]
    if faults:
        raise DataError(
            f"the images in {folder} are not those of the run: {', '.join(faults)} - say where those are with "
            "--data DIR"
        )


def _contents(manifest: pd.DataFrame) -> pd.Series[str]:
    """Return sha256 of the files that take part or would if they were not damaged, by name."""
    taking_part = manifest[manifest["state"].isin([USED, DAMAGED])]
    contents: pd.Series[str] = taking_part.set_index("name")["sha256"]
    return contents
