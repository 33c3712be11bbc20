"""Options of plugins."""

from __future__ import annotations

from harness.settings import Settings


class Options(Settings):
    """Base of a model's options: a pydantic class, frozen, that refuses unknown keys."""
