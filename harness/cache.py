"""The cache: folders that can be made again, each sealed with the checksums of its files.

Every later run relies on what lies in a cache. So a file that was cut short, overwritten or restored from a bad disk is
noticed before it is used, and its folder is made anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.durable import NO_ROOM, whole_folder
from harness.errors import DataError
from harness.file_lock import locked

Note = Callable[[str], None]
"""Is told what a person should know, in one line."""

SEAL = "seal.json"


@dataclass(frozen=True)
class Cache:
    """What can be made again: decoded images, generated images, pre-trained stages.

    Attributes:
        folder: Where it lies.
        note: Is told of what had to be made anew.
    """

    folder: Path
    note: Note

    def get(self, kind: str, key: str, make: Callable[[Path], object]) -> Path:
        """Return a folder of the cache, made first where it is not there or not as it was written.

        Of two processes that ask at once, the second waits for the first.

        Args:
            kind: What it is; a folder of the cache.
            key: All that decides what is in it, as a name.
            make: Fills an empty folder, which takes its place when it is whole.

        Raises:
            DataError: The cache cannot be written.
            EnvironmentMissingError: Its file system knows no locks.
        """
        folder = self.folder / kind / key
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with locked(folder.with_name(f"{key}.lock")):
                if folder.exists() and (fault := find_fault(folder)):
                    self.note(f"{folder} in the cache is not as it was written ({fault}); it is made anew")
                    _remove(folder)
                if not folder.exists():
                    for left in folder.parent.glob(f"{key}.*"):  # of a process that was killed while it made this one
                        if left.is_dir() and not (left / SEAL).exists():
                            _remove(left)
                    with whole_folder(folder) as building:
                        make(building)
                        seal = json.dumps(_checksums(building), indent=1)
                        building.joinpath(SEAL).write_text(seal, encoding="utf-8")
        except OSError as error:
            if error.errno not in NO_ROOM and not str(error.filename).startswith(str(self.folder)):
                raise  # of what was to be made, not of the cache
            raise DataError(
                f"cannot use the cache {folder.parent}: {error.strerror or error} - make room there, or set "
                "HARNESS_CACHE to another folder"
            ) from error
        return folder


def find_fault(folder: Path) -> str | None:
    """Hold a folder of the cache against its seal: say what is wrong with it, or return None.

    Files that the seal does not name are nobody's business: systems leave some wherever they look.

    Raises:
        OSError: A file cannot be read, which says nothing of what is in it.
    """
    try:
        names = sealed_files(folder)
    except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError):
        return f"no {SEAL} that can be read"
    return next((name for name, checksum in names.items() if not _is_as_written(folder / name, checksum)), None)


def sealed_files(folder: Path) -> dict[str, str]:
    """Return sha256 of every file of a folder that :meth:`Cache.get` has returned, by its path there."""
    known = json.loads(folder.joinpath(SEAL).read_text(encoding="utf-8"))
    return {name: str(checksum) for name, checksum in known.items()}


def _is_as_written(file: Path, checksum: str) -> bool:
    try:
        return _sha256(file) == checksum
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _checksums(folder: Path) -> dict[str, str]:
    """Return sha256 of every file below a folder, by its path there, but for the seal's."""
    names = {path: path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: _sha256(path) for path, name in names.items() if name != SEAL}


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
