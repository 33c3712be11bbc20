"""The division of a run's images into train, validation and test, and its gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.config.run_config import RunConfig
from harness.data.description import DataSetDescription
from harness.data.manifest import used_images
from harness.errors import SplitError, SplitLeakError
from harness.planning.image_set import ImageSet
from harness.protocol.fingerprint import groups_on_two_sides
from harness.protocol.group_assignment import hash_rank
from harness.protocol.leak_gate import Leak, find_leak, find_picture_leak, pass_gate
from harness.protocol.names import LEAKY_PROTOCOLS, SIDES
from harness.protocol.protocols import Protocol, find_protocol, split_images


@dataclass(frozen=True)
class Division:
    """The images of a run and who is where.

    Attributes:
        config: The run's, with what it leaves to the data set.
        data_set: What the data set is.
        protocol: The protocol that made it.
        folder: Where the images lie.
        manifest: Every image found, used or not.
        splits: ``image fold seed side``.
        leaks: What stands on two sides although it should not; empty unless the config allows it.
        shared_groups: Groups on two sides; some protocols keep only smaller ones apart.
        notes: What a person should know of the files.
    """

    config: RunConfig
    data_set: DataSetDescription
    protocol: Protocol
    folder: Path
    manifest: pd.DataFrame
    splits: pd.DataFrame
    leaks: list[Leak]
    shared_groups: int
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> pd.DataFrame:
        """The rows of the manifest that take part."""
        return used_images(self.manifest)


def divide(images: ImageSet) -> Division:
    """Divide images, and let them through the gate.

    Args:
        images: Their config says under which protocol, and whether leaks are allowed. The gate looks for one picture on
            two sides as well if they are decoded.

    Raises:
        SplitError: The protocol cannot divide them.
        SplitLeakError: A group or a picture is on two sides, and the config does not allow it.
    """
    config, data_set, used = images.config, images.data_set, images.used
    refuse_leaky_protocol(config)
    protocol = find_protocol(config.protocol, data_set)
    splits = split_images(protocol, used, config.seeds)
    if config.limit:
        splits = limit_splits(splits, used, config.limit)
    found = [find_leak(protocol.group, splits, used.set_index("name")[protocol.level])]
    if not data_set.groups:
        found.append(Leak("image", tuple(used["name"]), "of groups that nobody knows"))
    if images.content is not None:
        found.append(find_picture_leak(splits, images.content))
    leaks = [leak for leak in found if leak is not None]
    pass_gate(leaks, allow_leak=config.allow_leak)
    shared = groups_on_two_sides(splits, used)
    return Division(
        config, data_set, protocol, images.folder, images.manifest, splits, leaks, shared, images.file_notes()
    )


def refuse_leaky_protocol(config: RunConfig) -> None:
    """Refuse a protocol that leaks by design unless the config allows it; this needs no image.

    Raises:
        SplitLeakError: It does not.
    """
    if config.protocol in LEAKY_PROTOCOLS and not config.allow_leak:
        raise SplitLeakError(
            f"{config.protocol} puts images of one patient on all sides by design - set allow_leak: true "
            "(-o allow_leak=true) to compute its numbers all the same, headed LEAKY"
        )


def limit_splits(splits: pd.DataFrame, images: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Keep so many images per class and side in each stratum, chosen by hash."""
    table = splits.merge(images[["name", "label", "stratum"]], left_on="image", right_on="name")
    table["rank"] = [hash_rank(0, name) for name in table["image"]]
    place = table.sort_values("rank").groupby(["seed", "fold", "side", "stratum", "label"]).cumcount()
    return splits[(place.sort_index() < limit).to_numpy()].reset_index(drop=True)


def refuse_empty_sides(division: Division, strata: Sequence[str]) -> None:
    """Every cell needs images of all classes to train and validate on, and some to test.

    Raises:
        SplitError: A side of a cell is empty, or lacks a class; the message names it.
    """
    classes = division.data_set.classes
    images = division.images[["name", "stratum", "label"]]
    table = division.splits.merge(images, left_on="image", right_on="name")
    present = table[["stratum", "seed", "fold", "side", "label"]].drop_duplicates()
    found = set(present.itertuples(index=False, name=None))
    places = [
        (stratum, seed, fold)
        for stratum in strata
        for seed, fold in division.splits[["seed", "fold"]].drop_duplicates().itertuples(index=False)
    ]
    lacking = [
        ((stratum, seed, fold), f"no image of {classes[label]} in {side}")
        for stratum, seed, fold in places
        for side in SIDES[:2]
        for label in range(len(classes))
        if (stratum, seed, fold, side, label) not in found
    ] + [
        (place, "no image in test")
        for place in places
        if not any((*place, "test", label) in found for label in range(len(classes)))
    ]
    if lacking:
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        (stratum, seed, fold), what = lacking[0]
        first = f"{stratum}, seed {seed}, fold {fold}: {what}"
        whole = [stratum for stratum in strata if stratum not in {place[0] for place, _ in lacking}]
        hint = f"leave that stratum out: -o strata=[{','.join(whole)}]" if whole else "more images are needed"
        raise SplitError(f"the images cannot fill every side under {division.protocol.name}: {first}{more} - {hint}")
