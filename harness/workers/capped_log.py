"""A log file of bounded size."""

from __future__ import annotations

import contextlib
from pathlib import Path

LOG_BYTES = 10_000_000
"""What a log and the older half beside it take up together at most."""


def append_capped(log: Path, data: bytes) -> None:
    """Append to a log; when it is half full, it becomes ``LOG.1`` in place of the one before, and a new one begins.

    So the last 5 to 10 MB are there, and what came before them is lost. A log that cannot be written stops nobody.
    """
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            size = file.tell()
            file.write(data)
        if size + len(data) > LOG_BYTES // 2:
            log.replace(log.with_name(f"{log.name}.1"))
