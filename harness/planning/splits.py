"""The division of a run's images into train, validation and test, and its gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.config.run_config import RunConfig
from harness.data.manifest import used_images
from harness.data.names import CLASSES
from harness.errors import SplitError, SplitLeakError
from harness.planning.image_set import ImageSet
from harness.protocol.fingerprint import accessions_on_two_sides
from harness.protocol.group_assignment import hash_rank
from harness.protocol.leak_gate import Leak, find_leak, find_picture_leak, pass_gate
from harness.protocol.names import SIDES
from harness.protocol.protocols import PROTOCOLS, Protocol, split_images


@dataclass(frozen=True)
class Division:
    """The images of a run and who is where.

    Attributes:
        protocol: The protocol that made it.
        folder: Where the images lie.
        manifest: Every image found, used or not.
        splits: ``image fold seed side``.
        leaks: What stands on two sides although it should not; empty unless the config allows it.
        shared_accessions: Accessions on two sides; some protocols keep only slides apart.
    """

    protocol: Protocol
    folder: Path
    manifest: pd.DataFrame
    splits: pd.DataFrame
    leaks: list[Leak]
    shared_accessions: int

    @property
    def images(self) -> pd.DataFrame:
        """The rows of the manifest that take part."""
        return used_images(self.manifest)


def divide(config: RunConfig, images: ImageSet) -> Division:
    """Divide images, and let them through the gate.

    Args:
        config: Says under which protocol, and whether leaks are allowed.
        images: The gate looks for one picture on two sides as well if they are decoded.

    Raises:
        SplitError: The protocol cannot divide them.
        SplitLeakError: A group or a picture is on two sides, and the config does not allow it.
    """
    protocol, used = PROTOCOLS[config.protocol], images.used
    refuse_leaky_protocol(config)
    splits = split_images(protocol, used, config.seeds)
    if config.limit:
        splits = limit_splits(splits, used, config.limit)
    found = [find_leak(protocol.group, splits, used.set_index("name")[protocol.group])]
    if images.content is not None:
        found.append(find_picture_leak(splits, images.content))
    leaks = [leak for leak in found if leak is not None]
    pass_gate(leaks, allow_leak=config.allow_leak)
    return Division(protocol, images.folder, images.manifest, splits, leaks, accessions_on_two_sides(splits, used))


def refuse_leaky_protocol(config: RunConfig) -> None:
    """Refuse a protocol that leaks by design unless the config allows it; this needs no image.

    Raises:
        SplitLeakError: It does not.
    """
    if PROTOCOLS[config.protocol].leaks and not config.allow_leak:
        raise SplitLeakError(
            f"{config.protocol} puts images of one patient on all sides by design - set allow_leak: true "
            "(-o allow_leak=true) to compute its numbers all the same, headed LEAKY"
        )


def limit_splits(splits: pd.DataFrame, images: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Keep so many images per class and side at each magnification, chosen by hash."""
    table = splits.merge(images[["name", "label", "stratum"]], left_on="image", right_on="name")
    table["rank"] = [hash_rank(0, name) for name in table["image"]]
    place = table.sort_values("rank").groupby(["seed", "fold", "side", "stratum", "label"]).cumcount()
    return splits[(place.sort_index() < limit).to_numpy()].reset_index(drop=True)


def refuse_empty_sides(division: Division, strata: Sequence[str]) -> None:
    """Every cell needs images of both classes to train and validate on, and some to test.

    Raises:
        SplitError: A side of a cell is empty, or has one class only; the message names it.
    """
    table = division.splits.merge(division.images, left_on="image", right_on="name")
    found = set(table[["stratum", "seed", "fold", "side", "label"]].itertuples(index=False, name=None))
    places = [
        (stratum, seed, fold)
        for stratum in strata
        for seed, fold in division.splits[["seed", "fold"]].drop_duplicates().itertuples(index=False)
    ]
    lacking = [
        ((stratum, seed, fold), f"no {CLASSES[label]} image in {side}")
        for stratum, seed, fold in places
        for side in SIDES[:2]
        for label in range(len(CLASSES))
        if (stratum, seed, fold, side, label) not in found
    ] + [
        (place, "no image in test")
        for place in places
        if not any((*place, "test", label) in found for label in range(len(CLASSES)))
    ]
    if lacking:
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        (stratum, seed, fold), what = lacking[0]
        first = f"{stratum}, seed {seed}, fold {fold}: {what}"
        whole = [stratum for stratum in strata if stratum not in {place[0] for place, _ in lacking}]
        rest = ",".join(stratum.removesuffix("x") for stratum in whole)
        hint = f"leave that magnification out: -o magnifications=[{rest}]" if whole else "more images are needed"
        raise SplitError(f"the images cannot fill every side under {division.protocol.name}: {first}{more} - {hint}")
