"""Room for feature sets in the cache."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.cache import SEAL
from harness.errors import DataError

_MARGIN = 1_000_000_000  # bytes of the disk that are left to everything else
_GB = 1e9
_BEING_MADE_SECONDS = 86_400.0


@dataclass(frozen=True)
class FeatureRoom:
    """The folder of feature sets, and what they may take together.

    Attributes:
        folder: Holds a folder a set.
        limit: In bytes.
    """

    folder: Path
    limit: float

    def holds(self, key: str) -> bool:
        """Whether the set of a key is there."""
        return (self.folder / key / SEAL).exists()

    def mark_used(self, folder: Path) -> None:
        """Note that a set is used now: those that were not for longest go first."""
        os.utime(folder)

    def make(self, size: int, keep: Collection[Path]) -> None:
        """See that a set of so many bytes fits, and remove those that were not used for longest if need be.

        A run that still uses one of these makes its features anew.

        Args:
            size: In bytes.
            keep: Sets that are not removed.

        Raises:
            DataError: It does not fit.
        """
        if size > self.limit:
            raise DataError(f"they take {size / _GB:.2f} GB, and features_gb allows {self.limit / _GB:g} - raise it")
        sizes = {folder: taken for folder in self._oldest_first() if (taken := _size(folder))}
        taken = sum(sizes.values())
        for folder in (folder for folder in sizes if folder not in keep and not _is_being_made(folder)):
            if taken + size <= self.limit:
                break
            shutil.rmtree(folder, ignore_errors=True)
            taken -= sizes[folder]
        if taken + size > self.limit:
            raise DataError(
                f"they take {size / _GB:.2f} GB beside {taken / _GB:.2f} GB of this run's other sets, and features_gb "
                f"allows {self.limit / _GB:g} - raise it"
            )
        free = shutil.disk_usage(_existing(self.folder)).free
        if size + _MARGIN > free:
            raise DataError(
                f"they take {size / _GB:.2f} GB, and the disk of {self.folder} has {free / _GB:.2f} GB left"
            )

    def _oldest_first(self) -> list[Path]:
        """List what may be a set, or what a process that was killed has left of one."""
        found = []
        for path in self.folder.glob("*"):
            try:
                if path.is_dir():
                    found.append((path.stat().st_mtime, path))
            except FileNotFoundError:
                continue  # another run was quicker
        return [path for _, path in sorted(found)]


def _is_being_made(folder: Path) -> bool:
    """Whether another run may be filling a folder; what a killed one has left is old."""
    return not (folder / SEAL).exists() and time.time() - folder.stat().st_mtime < _BEING_MADE_SECONDS


def _size(folder: Path) -> int:
    """Return the bytes in a folder; what vanishes meanwhile takes none."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.glob("*"):
        try:
            yield path.stat().st_size
        except FileNotFoundError:
            continue


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
