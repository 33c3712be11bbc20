"""The decoded array of a set of images, memory-mapped and cached.

Rows are ordered by the sha256 of the files, which says nothing about class or patient: whoever holds the array but not
its index learns nothing from a row's place.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray

from harness.cache import Cache
from harness.data.decode import PixelRecipe, content_digest, decode, decode_bytes, read_image_file
from harness.data.stain import StainNormaliser, StainProfile, estimate_profile
from harness.data.version import PIXEL_VERSION
from harness.errors import DataError
from harness.processes import map_in_order, map_strange

Progress = Callable[[int, int], None]

_CHUNK = 16
_CHUNKS_WORTH_A_POOL = 6
_FACTS = ("fingerprint", "stained", "error")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class PixelStore:
    """A decoded set of images on disk.

    Attributes:
        folder: Where the array and its index lie.
        index: One row an image, in row order: ``sha256`` (of the file), ``content`` (equal where full-size pixels are;
            empty if damaged), ``stained`` (bool), ``error`` (empty, or why it could not be decoded).
    """

    folder: Path
    index: pd.DataFrame

    @property
    def array_file(self) -> Path:
        """The file of the uint8 array (N, 3, H, W), for :func:`open_array`."""
        return self.folder / "pixels.npy"

    def rows_of(self, digests: pd.Series[str]) -> NDArray[np.int64]:
        """Return the array's rows of the files with these sha256 digests."""
        rows: NDArray[np.int64] = self._digests.get_indexer(pd.Index(digests)).astype(np.int64)
        return rows

    @cached_property
    def _digests(self) -> pd.Index[str]:
        return pd.Index(self.index["sha256"])


def open_array(file: Path) -> NDArray[np.uint8]:
    """Memory-map a decoded array: uint8 (N, 3, H, W), read-only."""
    array: NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
    return array


def pixel_store(
    files: pd.Series[str],
    digests: pd.Series[str],
    recipe: PixelRecipe,
    cache: Cache,
    on_progress: Progress | None = None,
) -> PixelStore:
    """Return the decoded array of these files, building it if the cache does not hold it.

    Args:
        files: Paths of the images.
        digests: Their sha256, in the same order; files of equal content share a row.
        recipe: How a file becomes pixels.
        cache: The cache.
        on_progress: Called with (images done, images in all).

    Raises:
        DataError: The cache cannot be written; or a file cannot be read, is not what was hashed any more, or ends the
            process that decodes it. A damaged image raises nothing here; the index names it.
    """
    wanted = pd.Series(files.to_numpy(), index=digests.to_numpy())
    wanted = wanted[~wanted.index.duplicated()].sort_index()
    found = list(zip(map(Path, wanted), wanted.index, strict=True))
    shape = (len(found), 3, recipe.size, recipe.size)

    def decode_into(array_file: Path) -> pd.DataFrame:
        images = [(array_file, row - len(found), path, digest, recipe) for row, (path, digest) in enumerate(found)]
        facts = []
        for fact in map_strange(_decode_row, images, lambda image: str(image[2])):
            facts.append(fact)
            if on_progress:
                on_progress(len(facts), len(found))
        index = pd.DataFrame(facts, columns=list(_FACTS))
        index.insert(0, "sha256", wanted.index)
        index.insert(1, "content", _told_apart(index.pop("fingerprint"), found))
        return index

    return _store(cache, [repr(recipe), *wanted.index], shape, decode_into)


def _told_apart(fingerprints: pd.Series[str], files: Sequence[tuple[Path, str]]) -> pd.Series[str]:
    """Look at full size whether pictures of one fingerprint are the same.

    Args:
        fingerprints: See :class:`~harness.data.decode.DecodedImage`; empty for damaged files.
        files: Their paths and sha256.
    """
    alike = np.flatnonzero(fingerprints.duplicated(keep=False) & (fingerprints != ""))
    doubtful, content = [files[row] for row in alike.tolist()], fingerprints.copy()
    content.iloc[alike] = list(map_strange(_full_size_content, doubtful, lambda file: str(file[0])))
    return content


def _full_size_content(file: tuple[Path, str]) -> str:
    try:
        return content_digest(decode_bytes(_unchanged(*file)))
    except RuntimeError as error:  # it could be decoded a moment ago
        raise _changed(file[0]) from error


def painted_store(
    plain: PixelStore, normalisers: Sequence[StainNormaliser], cache: Cache, on_progress: Progress | None = None
) -> PixelStore:
    """Return a decoded array with colours normalised, each image by a normaliser of its own.

    Args:
        plain: The array as decoded.
        normalisers: One for each of its rows.
        cache: The cache.
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
    cache: Cache, ingredients: list[str], shape: tuple[int, ...], fill: Callable[[Path], pd.DataFrame]
) -> PixelStore:
    """Return the cached array that these ingredients make; ``fill`` writes it and returns its index."""

    def make(building: Path) -> None:
        fill(new_array(building / "pixels.npy", shape, np.uint8)).to_parquet(building / "index.parquet")

    content = json.dumps([PIXEL_VERSION, *ingredients])
    folder = cache.get("pixels", hashlib.sha256(content.encode()).hexdigest()[:32], make)
    return PixelStore(folder, pd.read_parquet(folder / "index.parquet"))


def new_array(file: Path, shape: tuple[int, ...], dtype: DTypeLike) -> Path:
    """Make the file of an array, with all its room taken: a full disk would kill whoever writes to a mapped page."""
    np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape).flush()
    if sys.platform == "linux":
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    return file


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


def _decode_row(image: tuple[Path, int, Path, str, PixelRecipe]) -> dict[str, Any]:
    """Decode one file into a row of the array, counted from its end as -1, if it still is what was hashed."""
    array_file, row, path, digest, recipe = image
    try:
        decoded = decode(_unchanged(path, digest), recipe)
    except RuntimeError as error:
        return {"fingerprint": "", "stained": False, "error": str(error)}
    with array_file.open("r+b") as rows:  # to map the whole array takes longer than to write a row
        rows.seek(row * decoded.pixels.nbytes, os.SEEK_END)
        rows.write(decoded.pixels.tobytes())
    return {"fingerprint": decoded.fingerprint, "stained": decoded.stained, "error": ""}


def _unchanged(path: Path, digest: str) -> bytes:
    """Read a file that still is what was hashed.

    Raises:
        DataError: It is not.
    """
    content = read_image_file(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise _changed(path)
    return content


def _changed(path: Path) -> DataError:
    return DataError(f"{path} has changed since the run began to read it - run again when nobody writes there")
