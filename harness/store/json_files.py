"""Readers of JSON files from a folder that may come from anywhere."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from harness.errors import DataError

MAX_JSON_BYTES = 50_000_000


def read_file(path: Path, limit: int) -> bytes | None:
    """Return a file's bytes, or None where there is none.

    Raises:
        DataError: It is no file, has more than ``limit`` bytes, or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path} is no file")
        if found.st_size > limit:
            raise DataError(f"{path} has {found.st_size:,} bytes; the harness writes no such file")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def parse_json(content: bytes, where: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: It is none.
    """
    try:
        value = json.loads(content.decode("utf-8"))
        if b"\\ud" in content.lower():
            json.dumps(value, ensure_ascii=False).encode()  # raises at half a character, which nothing could print
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {where}: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{where} does not hold what the harness writes there")
    return value


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, or None where there is none.

    Raises:
        DataError: It cannot be read, or holds something else.
    """
    content = read_file(path, MAX_JSON_BYTES)
    return None if content is None else parse_json(content, path)
