"""Keyed random numbers and picture files for generated data sets."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torchvision.io import encode_jpeg, encode_png

from harness.errors import EnvironmentMissingError, UsageError
from harness.synthetic.painting import PictureArray


def keyed_rng(*key: object) -> np.random.Generator:
    """Return a generator that depends on ``key`` alone, whichever process asks and in whatever order."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def write_png(path: Path, picture: PictureArray) -> None:
    """Write uint8 (3, H, W) as PNG."""
    path.write_bytes(encode_png(torch.from_numpy(picture)).numpy().tobytes())


def write_jpeg(path: Path, picture: PictureArray) -> None:
    """Write uint8 (3, H, W) as JPEG of quality 95."""
    path.write_bytes(encode_jpeg(torch.from_numpy(picture), quality=95).numpy().tobytes())


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside ``folder`` that takes its place at the end, so that an interruption leaves no half tree."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty - name a new folder, or delete this one first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            new = Path(beside, "new")
            new.mkdir()
            yield new
            if folder.exists():
                folder.rmdir()
            new.rename(folder)
    except OSError as error:
        raise EnvironmentMissingError(f"cannot write {folder}: {error.strerror or error}") from error
