"""Decoding once: a memory-mapped uint8 array per set of images and recipe, kept in the cache.

Rows are ordered by the sha256 of the files, which says nothing about class or patient: whoever holds the array but not
its index learns nothing from a row's place.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.decode import PixelRecipe, decode
from harness.durable import whole_folder
from harness.errors import DataError
from harness.processes import map_in_order

Progress = Callable[[int, int], None]
PIXEL_VERSION = 2
"""Raise it when decoding, resizing or normalising changes what comes out."""

_CHUNK = 16
_CHUNKS_WORTH_A_POOL = 6


@dataclass(frozen=True)
class PixelStore:
    """A decoded set of images on disk.

    Attributes:
        folder: Where the array and its index lie.
        index: One row an image, in row order: ``sha256`` (of the file), ``content`` (of its full-size pixels; empty
            if damaged), ``stained`` (bool), ``error`` (empty, or why it could not be decoded).
    """

    folder: Path
    index: pd.DataFrame

    @property
    def array_file(self) -> Path:
        """The file of the uint8 array (N, 3, H, W), for :func:`open_array`."""
        return self.folder / "pixels.npy"

    def rows_of(self, digests: pd.Series[str]) -> NDArray[np.int64]:
        """Return the array's rows of the files with these sha256 digests."""
        rows: NDArray[np.int64] = pd.Index(self.index["sha256"]).get_indexer(pd.Index(digests)).astype(np.int64)
        return rows


def open_array(file: Path) -> NDArray[np.uint8]:
    """Memory-map a decoded array: uint8 (N, 3, H, W), read-only."""
    array: NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
    return array


def pixel_store(
    files: pd.Series[str],
    digests: pd.Series[str],
    recipe: PixelRecipe,
    cache: Path,
    on_progress: Progress | None = None,
) -> PixelStore:
    """Return the decoded array of these files, building it if the cache does not hold it.

    Two processes that ask at once build it once: the second waits for the first.

    Args:
        files: Paths of the images.
        digests: Their sha256, in the same order; files of equal content share a row.
        recipe: How a file becomes pixels.
        cache: The cache folder.
        on_progress: Called with (images done, images in all).

    Raises:
        DataError: The cache cannot be written. A damaged image raises nothing here; the index names it.
    """
    wanted = pd.Series(files.to_numpy(), index=digests.to_numpy())
    wanted = wanted[~wanted.index.duplicated()].sort_index()
    folder = cache / "pixels" / _key(list(wanted.index), recipe)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{folder}.lock"):
            if not folder.exists():
                _build(wanted, recipe, folder, on_progress)
    except OSError as error:
        raise DataError(f"cannot write the pixel cache {cache}: {error.strerror} - set HARNESS_CACHE") from error
    return PixelStore(folder, pd.read_parquet(folder / "index.parquet"))


def _key(digests: list[str], recipe: PixelRecipe) -> str:
    content = json.dumps([PIXEL_VERSION, dataclasses.asdict(recipe), digests], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _build(wanted: pd.Series[str], recipe: PixelRecipe, folder: Path, on_progress: Progress | None) -> None:
    with whole_folder(folder) as building:
        array_file, paths = building / "pixels.npy", [str(path) for path in wanted]
        shape = (len(paths), 3, recipe.size, recipe.size)
        np.lib.format.open_memmap(array_file, mode="w+", dtype=np.uint8, shape=shape).flush()
        rows: list[dict[str, Any]] = []
        for done in _decode_all(array_file, paths, recipe):
            rows += done
            if on_progress:
                on_progress(len(rows), len(paths))
        index = pd.DataFrame(rows, columns=["content", "stained", "error"])
        index.insert(0, "sha256", wanted.index)
        index.to_parquet(building / "index.parquet")


def _decode_all(array_file: Path, paths: list[str], recipe: PixelRecipe) -> Iterator[list[dict[str, Any]]]:
    """Decode in chunks, in order; in parallel where that is worth starting processes for."""
    chunks = [(array_file, start, paths[start : start + _CHUNK], recipe) for start in range(0, len(paths), _CHUNK)]
    yield from map_in_order(_decode_chunk, chunks, _CHUNKS_WORTH_A_POOL)


def _decode_chunk(chunk: tuple[Path, int, list[str], PixelRecipe]) -> list[dict[str, Any]]:
    array_file, start, paths, recipe = chunk
    array = np.lib.format.open_memmap(array_file, mode="r+")
    return [_decode_row(array[row], Path(path), recipe) for row, path in enumerate(paths, start)]


def _decode_row(row: NDArray[np.uint8], path: Path, recipe: PixelRecipe) -> dict[str, Any]:
    try:
        decoded = decode(path, recipe)
    except (RuntimeError, OSError) as error:
        return {"content": "", "stained": False, "error": str(error).splitlines()[0]}
    row[:] = decoded.pixels
    return {"content": decoded.content, "stained": decoded.stained, "error": ""}
