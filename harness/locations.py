"""Folders of data, cache and results."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_APP = "breakhis-harness"


def data_folder() -> Path:
    """``$HARNESS_DATA``: data sets, one folder each (``breakhis``, ``lc25000``, ``natural``)."""
    return _from_environment("HARNESS_DATA", platformdirs.user_data_path(_APP))


def cache_folder() -> Path:
    """``$HARNESS_CACHE``: whatever can be computed again (decoded pixels, features, pre-trained stages)."""
    return _from_environment("HARNESS_CACHE", platformdirs.user_cache_path(_APP))


def results_folder() -> Path:
    """``$HARNESS_RESULTS``: one folder a run; ``./runs`` if the variable is not set."""
    return _from_environment("HARNESS_RESULTS", Path("runs"))


def _from_environment(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else default
