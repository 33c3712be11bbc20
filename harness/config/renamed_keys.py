"""Config keys of earlier versions, which are understood for one version."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from harness.config.overrides import VARIANTS, set_key
from harness.errors import ConfigError


def _as_strata(value: Any) -> Any:
    """Return the strata that magnifications are: ``200x`` for 200."""
    if not isinstance(value, list | tuple):
        return value  # for the checks to refuse
    return [f"{item}x" if isinstance(item, int) and not isinstance(item, bool) else item for item in value]


def _as_it_is(value: Any) -> Any:
    return value


_RENAMED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "engine": ("schedule.execution_mode", _as_it_is),
    "magnifications": ("strata", _as_strata),
    "data.slide_13412": ("data.options.slide_13412", _as_it_is),
}
"""By the dotted key of before: the present one, and what becomes of its value."""


def with_present_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return a config's values with every key of an earlier version under its present name."""
    renamed = values
    for old, (new, convert) in _RENAMED.items():
        if not _has(renamed, old):
            continue
        place = new.partition(".")[0]
        if place != new and not isinstance(renamed.get(place, {}), dict):
            continue  # for the checks to refuse
        renamed = copy.deepcopy(renamed)  # the given mapping may be the caller's
        set_key(renamed, new, convert(_removed(renamed, old)))
    return renamed


def refuse_doubled_keys(values: dict[str, Any], where: str) -> None:
    """Refuse a config that has a key under two names.

    Raises:
        ConfigError: It has.
    """
    for old, (new, _) in _RENAMED.items():
        if _has(values, old) and _has(values, new):
            raise ConfigError(f"{where}: '{old}' is called '{new}' now, and both are given - keep '{new}'")


def present_override(key: str, value: Any) -> tuple[str, Any]:
    """Return an override under the present name of its dotted key."""
    new, convert = _RENAMED.get(key, (key, _as_it_is))
    return new, convert(value)


def renamed_key_notes(values: dict[str, Any], where: str) -> list[str]:
    """Say in a line each which keys of a config, or of its variants, have another name now."""
    variants = values.get(VARIANTS)
    overrides = variants.values() if isinstance(variants, dict) else ()
    return [
        f"{where}: '{old}' is called '{new}' now; the next version will not know '{old}'"
        for old, (new, _) in _RENAMED.items()
        if any(isinstance(keys, dict) and (_has(keys, old) or old in keys) for keys in (values, *overrides))
    ]


def _has(values: dict[str, Any], key: str) -> bool:
    """True where a dotted key leads to something."""
    first, dot, rest = key.partition(".")
    if not dot:
        return first in values
    return isinstance(values.get(first), dict) and _has(values[first], rest)


def _removed(values: dict[str, Any], key: str) -> Any:
    first, dot, rest = key.partition(".")
    return _removed(values[first], rest) if dot else values.pop(first)
