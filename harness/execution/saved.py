"""What a model has saved, taken over into its cell's folder."""

from __future__ import annotations

import stat
from pathlib import Path

from harness.errors import CellError
from harness.execution.seals import RECORD, TABLES


def adopt(saved: Path, working: Path) -> None:
    """Move what a model has saved to its cell's other files.

    Args:
        saved: The folder that was the model's to write to; it is gone afterwards.
        working: Its cell's.

    Raises:
        CellError: There is something that is neither a file nor a folder, or that is named like the harness's own.
    """
    for path in sorted(saved.rglob("*")):
        kind = path.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise CellError(f"save() has left {path.relative_to(saved)}, which is neither a file nor a folder")
        path.chmod(0o755 if stat.S_ISDIR(kind) else 0o644)
    for path in saved.iterdir():
        if path.name in {RECORD, *TABLES}:
            raise CellError(f"save() has left {path.name}, which is the harness's own file")
        path.rename(working / path.name)
    saved.rmdir()
