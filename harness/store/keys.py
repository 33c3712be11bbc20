"""Hashes that decide whether stored results are still valid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def what_changed(stored: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Name the parts of a key that differ."""
    return [name for name in wanted if stored.get(name) != wanted[name]]


def hash_of(value: Any) -> str:
    """Return sha256 over a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def first_difference(stored: dict[str, Any], wanted: dict[str, Any]) -> tuple[str, str, str] | None:
    """Return the first part of a comparison that differs, with both values in brief; None for equal ones.

    Of a part that has parts the first that differs is named, as ``schedule.epochs``.
    """
    for part, value in json.loads(json.dumps(wanted)).items():  # JSON has no tuples: what was stored has none either
        before = stored.get(part)
        if before != value:
            inner = first_difference(before, value) if isinstance(before, dict) and isinstance(value, dict) else None
            return (part, _brief(before), _brief(value)) if inner is None else (f"{part}.{inner[0]}", *inner[1:])
    return None


def _brief(value: Any) -> str:
    text = json.dumps(value, default=str)
    if isinstance(value, str) and len(text) > 40:
        return f'"{value[:12]}..."'  # a hash: its first digits tell it from another
    return f"{text[:60]}..." if len(text) > 63 else text
