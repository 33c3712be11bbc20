"""Installed plugins, not imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from harness.errors import UsageError, did_you_mean

GROUP = "harness"
VARIABLE = "HARNESS_PLUGINS"
_NO_PLUGIN = "none"


@dataclass(frozen=True)
class InstalledPlugin:
    """An entry point in group ``harness``.

    Attributes:
        name: Of the entry point.
        module: Import name of its module.
        distribution: ``name version`` of the distribution that brings it.
        wanted: False where ``$HARNESS_PLUGINS`` leaves it out.
    """

    name: str
    module: str
    distribution: str
    wanted: bool


def installed_plugins() -> list[InstalledPlugin]:
    """List the installed plugins, sorted by name.

    ``$HARNESS_PLUGINS`` names those that may be loaded, ``none`` for no one; all where it is not set.

    Raises:
        UsageError: The variable names what is not installed.
    """
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    wanted = _wanted([entry.name for entry in found])
    return [InstalledPlugin(e.name, e.module, _distribution(e), wanted=e.name in wanted) for e in found]


def wanted_plugins() -> list[str]:
    """Return name, module and distribution of every installed plugin that may be loaded, in one line each."""
    return [f"{one.name} {one.module} {one.distribution}" for one in installed_plugins() if one.wanted]


def _wanted(known: list[str]) -> set[str]:
    value = os.environ.get(VARIABLE, "").strip()
    if not value:
        return set(known)
    if value == _NO_PLUGIN:
        return set()
    names = {name.strip() for name in value.split(",") if name.strip()}
    for name in sorted(names - set(known)):
        raise UsageError(
            f"{VARIABLE} names '{name}', and no such plugin is installed{did_you_mean(name, known)} "
            f"(installed: {', '.join(known)}; or '{_NO_PLUGIN}' alone)"
        )
    return names


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
