"""What is sent to others, without the folders of the machine that it was made on."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def without_folders(value: Any) -> Any:
    """Return JSON values with every absolute path cut down to its last part."""
    if isinstance(value, dict):
        return {key: without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(one) for one in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
