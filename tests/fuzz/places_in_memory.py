"""Where inputs lie that are read from files: in memory, where there is such a place."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")


@cache
def scratch(name: str) -> Path:
    """Return a folder for one target of this process; it goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-{os.getpid()}-", dir=_MEMORY if _MEMORY.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
