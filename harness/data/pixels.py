"""Decoding once: a memory-mapped uint8 array per set of images and recipe, kept in the cache.

Rows are ordered by the sha256 of the files, which says nothing about class or patient: whoever holds the array but not
its index learns nothing from a row's place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import filelock
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.decode import PixelRecipe, decode
from harness.data.stain import StainNormaliser, StainProfile, estimate_profile
from harness.durable import whole_folder
from harness.errors import DataError
from harness.processes import map_in_order

Progress = Callable[[int, int], None]
PIXEL_VERSION = 3
"""Raise it when decoding, resizing or normalising changes what comes out."""

_CHUNK = 16
_CHUNKS_WORTH_A_POOL = 6
_FACTS = ("content", "stained", "error")
T = TypeVar("T")
R = TypeVar("R")


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
    paths = [str(path) for path in wanted]
    shape = (len(paths), 3, recipe.size, recipe.size)

    def decode_into(array_file: Path) -> pd.DataFrame:
        chunks = [(array_file, start, paths[start : start + _CHUNK], recipe) for start in range(0, len(paths), _CHUNK)]
        index = pd.DataFrame(_rows(_decode_chunk, chunks, len(paths), on_progress), columns=list(_FACTS))
        index.insert(0, "sha256", wanted.index)
        return index

    return _store(cache, [repr(recipe), *wanted.index], shape, decode_into)


def painted_store(
    plain: PixelStore, normalisers: Sequence[StainNormaliser], cache: Path, on_progress: Progress | None = None
) -> PixelStore:
    """Return a decoded array with colours normalised, each image by a normaliser of its own.

    Args:
        plain: The array as decoded.
        normalisers: One for each of its rows.
        cache: The cache folder.
        on_progress: Called with (images done, images in all).

    Raises:
        DataError: The cache cannot be written.
    """

    def paint_into(array_file: Path) -> pd.DataFrame:
        rows = range(0, len(normalisers), _CHUNK)
        chunks = [(plain.array_file, array_file, start, normalisers[start : start + _CHUNK]) for start in rows]
        return plain.index.assign(stained=_rows(_paint_chunk, chunks, len(normalisers), on_progress))

    shape = open_array(plain.array_file).shape
    return _store(cache, [plain.folder.name, *map(repr, normalisers)], shape, paint_into)


def stain_profiles(plain: PixelStore) -> list[StainProfile | None]:
    """Find the stains of every row of a decoded array."""
    starts = range(0, len(plain.index), _CHUNK)
    chunks = [(plain.array_file, start) for start in starts]
    return _rows(_profile_chunk, chunks, len(plain.index), None)


def _store(
    cache: Path, ingredients: list[str], shape: tuple[int, ...], fill: Callable[[Path], pd.DataFrame]
) -> PixelStore:
    """Return the cached array that these ingredients make; ``fill`` writes it and returns its index."""
    content = json.dumps([PIXEL_VERSION, *ingredients])
    folder = cache / "pixels" / hashlib.sha256(content.encode()).hexdigest()[:32]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{folder}.lock"):
            if not folder.exists():
                with whole_folder(folder) as building:
                    array_file = building / "pixels.npy"
                    np.lib.format.open_memmap(array_file, mode="w+", dtype=np.uint8, shape=shape).flush()
                    fill(array_file).to_parquet(building / "index.parquet")
    except OSError as error:
        raise DataError(f"cannot write the pixel cache {cache}: {error.strerror} - set HARNESS_CACHE") from error
    return PixelStore(folder, pd.read_parquet(folder / "index.parquet"))


def _rows(work: Callable[[T], list[R]], chunks: list[T], total: int, on_progress: Progress | None) -> list[R]:
    """Work through chunks, in parallel where that is worth starting processes for; one result a row, in order."""
    rows: list[R] = []
    for done in map_in_order(work, chunks, _CHUNKS_WORTH_A_POOL):
        rows += done
        if on_progress:
            on_progress(len(rows), total)
    return rows


def _paint_chunk(chunk: tuple[Path, Path, int, Sequence[StainNormaliser]]) -> list[bool]:
    plain_file, painted_file, start, normalisers = chunk
    plain, painted = open_array(plain_file), np.lib.format.open_memmap(painted_file, mode="r+")
    stained = []
    for row, normaliser in enumerate(normalisers, start):
        image = normaliser(plain[row])
        painted[row] = plain[row] if image is None else image
        stained.append(image is not None)
    return stained


def _profile_chunk(chunk: tuple[Path, int]) -> list[StainProfile | None]:
    file, start = chunk
    return [estimate_profile(image) for image in open_array(file)[start : start + _CHUNK]]


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
