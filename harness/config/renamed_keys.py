"""Config keys of earlier versions, which are understood for one version."""

from __future__ import annotations

from typing import Any

from harness.config.overrides import VARIANTS, set_key

_RENAMED = {"engine": "schedule.execution_mode"}


def with_present_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return a config's values with every key of an earlier version under its present name."""
    renamed = {key: value for key, value in values.items() if key not in _RENAMED}
    for old in _RENAMED.keys() & values.keys():
        place = _RENAMED[old].partition(".")[0]
        if isinstance(renamed.get(place, {}), dict):  # anything else is for the checks to refuse
            renamed[place] = {**renamed.get(place, {})}  # the given mapping may be the caller's
            set_key(renamed, _RENAMED[old], values[old])
    return renamed


def present_key(key: str) -> str:
    """Return a dotted key of an override under its present name."""
    return _RENAMED.get(key, key)


def renamed_key_notes(values: dict[str, Any], where: str) -> list[str]:
    """Say in a line each which keys of a config, or of its variants, have another name now."""
    variants = values.get(VARIANTS)
    overrides = variants.values() if isinstance(variants, dict) else ()
    given = {key for keys in (values, *overrides) if isinstance(keys, dict) for key in keys}
    return [
        f"{where}: '{old}' is called '{new}' now; the next version will not know '{old}'"
        for old, new in _RENAMED.items()
        if old in given
    ]
