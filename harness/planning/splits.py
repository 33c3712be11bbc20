"""The images of a run and the side that each stands on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.cache import Cache
from harness.config.run_config import RunConfig
from harness.data.manifest import scan_folder, used_images
from harness.data.names import CLASSES, MAGNIFICATIONS
from harness.errors import DataError, SplitError, SplitLeakError
from harness.locations import data_folder
from harness.protocol.fingerprint import accessions_on_two_sides
from harness.protocol.gate import Leak, find_leak, pass_gate
from harness.protocol.protocols import PROTOCOLS, SIDES, Protocol, split_images
from harness.protocol.splitter import hash_rank
from harness.synthetic.breakhis import SyntheticSettings, write_synthetic_breakhis

Progress = Callable[[str, int, int], None]


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


def divide(config: RunConfig, cache: Cache, on_progress: Progress | None = None) -> Division:
    """Find the images and divide them; the group gate stands at the end.

    Raises:
        DataError: No images.
        SplitError: The protocol cannot divide them.
        SplitLeakError: A group is on two sides, and the config does not allow it.
    """
    folder = find_images(config, cache, on_progress)
    protocol = PROTOCOLS[config.protocol]
    if protocol.leaks and not config.allow_leak:
        raise SplitLeakError(
            f"{protocol.name} puts images of one patient on all sides by design - set allow_leak: true "
            "(-o allow_leak=true) to compute its figures all the same, headed LEAKY"
        )
    manifest = scan_folder(folder, config.data.slide_13412)
    images = used_images(manifest)
    splits = split_images(protocol, images, config.seeds)
    if config.limit:
        splits = limit_splits(splits, images, config.limit)
    leak = find_leak(protocol.group, splits, images.set_index("name")[protocol.group])
    leaks = [leak] if leak else []
    pass_gate(leaks, allow_leak=config.allow_leak)
    return Division(protocol, folder, manifest, splits, leaks, accessions_on_two_sides(splits, images))


def find_images(config: RunConfig, cache: Cache, on_progress: Progress | None = None) -> Path:
    """Return the folder of the config's images, generating them first if it asks for a phantom."""
    if config.data.folder is None and config.data.phantom is not None:
        return synthetic_folder(config.data.phantom, cache, on_progress)
    folder = config.data.folder or data_folder() / "breakhis"
    if not folder.is_dir():
        raise DataError(
            f"no images: {folder} is not there - pass --data DIR, or get images with 'harness data fetch breakhis' "
            "or 'harness data phantom DIR'"
        )
    return folder


def synthetic_folder(settings: SyntheticSettings, cache: Cache, on_progress: Progress | None = None) -> Path:
    """Return the cached folder of these generated images, making it first if need be."""
    key = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]
    progress = named_progress(on_progress, "generating images")
    return cache.get("phantom", key, lambda folder: write_synthetic_breakhis(folder, settings, progress))


def limit_splits(splits: pd.DataFrame, images: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Keep so many images per class and side at each magnification, chosen by hash."""
    table = splits.merge(images[["name", "label", "magnification"]], left_on="image", right_on="name")
    table["rank"] = [hash_rank(0, name) for name in table["image"]]
    place = table.sort_values("rank").groupby(["seed", "fold", "side", "magnification", "label"]).cumcount()
    return splits[(place.sort_index() < limit).to_numpy()].reset_index(drop=True)


def refuse_empty_sides(division: Division, magnifications: tuple[int, ...]) -> None:
    """Every cell needs images of both classes to train and validate on, and some to test.

    Raises:
        SplitError: A side of a cell is empty, or has one class only; the message names it.
    """
    table = division.splits.merge(division.images, left_on="image", right_on="name")
    found = set(table[["magnification", "seed", "fold", "side", "label"]].itertuples(index=False, name=None))
    lacking = [
        f"{magnification}x, seed {seed}, fold {fold}: no {CLASSES[label]} image in {side}"
        for magnification in magnifications
        for seed, fold in division.splits[["seed", "fold"]].drop_duplicates().itertuples(index=False)
        for side in SIDES[:2]
        for label in range(len(CLASSES))
        if (magnification, seed, fold, side, label) not in found
    ] + [
        f"{magnification}x, seed {seed}, fold {fold}: no image in test"
        for magnification in magnifications
        for seed, fold in division.splits[["seed", "fold"]].drop_duplicates().itertuples(index=False)
        if not any((magnification, seed, fold, "test", label) in found for label in range(len(CLASSES)))
    ]
    if lacking:
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        whole = sorted(set(MAGNIFICATIONS) - {int(line.partition("x")[0]) for line in lacking})
        rest = ",".join(str(magnification) for magnification in whole)
        hint = f"leave that magnification out: -o magnifications=[{rest}]" if whole else "more images are needed"
        raise SplitError(
            f"the images cannot fill every side under {division.protocol.name}: {lacking[0]}{more} - {hint}"
        )


def named_progress(on_progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """Return what reports progress under a name, or None where nobody watches."""
    return (lambda done, total: on_progress(name, done, total)) if on_progress else None
