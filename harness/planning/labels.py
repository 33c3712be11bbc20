"""Labels of models as names of folders."""

from __future__ import annotations

from harness.errors import ConfigError
from harness.store.cells import slug

_MAX_SLUG = 150
"""A file's name has at most 255 bytes, and a cell's has its stratum, fold and seed as well."""


def refuse_folders_that_cannot_be(labels: list[str]) -> None:
    """Refuse labels that are too long for folders, or that would share one.

    Raises:
        ConfigError: There is such a label.
    """
    first: dict[str, str] = {}
    for label in labels:
        if len(slug(label)) > _MAX_SLUG:
            raise ConfigError(
                f"model '{label[:40]}...' has {len(label)} characters, more than a folder's name can hold - give it a "
                f"label of at most {_MAX_SLUG}"
            )
        other = first.setdefault(slug(label).lower(), label)
        if other != label:
            raise ConfigError(f"models '{other}' and '{label}' would share a folder; rename one")
