"""Overrides of config keys from the command line."""

from __future__ import annotations

from typing import Any

from harness.config.strict_yaml import parse_yaml
from harness.errors import ConfigError
from harness.text import printable

VARIANTS = "variants"
_MAX_KEY_DOTS = 20


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``key=value``; the key is dotted, the value YAML.

    Raises:
        ConfigError: No equals sign, or a value that is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"-o {printable(text)[:100]}: expected key=value, such as -o schedule.epochs=20")
    if any("\ud800" <= character <= "\udfff" for character in key):
        raise ConfigError(f"-o {printable(key)[:100]}: the key is not UTF-8 text")
    if key.count(".") > _MAX_KEY_DOTS:
        raise ConfigError(f"-o {key[:40]}...: the key has more than {_MAX_KEY_DOTS} dots")
    return key, parse_yaml(value, f"-o {printable(key)[:100]}: the value")


def set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, making the mappings on the way to it.

    Args:
        values: A config as read from YAML; changed in place.
        key: Such as ``schedule.epochs``. What follows a variant's name stays as it is: it is an override itself.
        value: Takes the place of whatever was there.
    """
    target, rest, depth = values, key, 0
    deepest = 2 if key.startswith(f"{VARIANTS}.") else None
    while depth != deepest and (step := _step(target, rest)) is not None:
        if not isinstance(target.get(step), dict):
            target[step] = {}
        target, rest, depth = target[step], rest.removeprefix(f"{step}."), depth + 1
    target[rest] = value


def _step(target: dict[str, Any], key: str) -> str | None:
    """Return the part of a dotted key to go into next: a label may have dots itself (``timm:resnet18.a1_in1k``)."""
    inside = [str(known) for known in target if key.startswith(f"{known}.")]
    if inside:
        return max(inside, key=len)
    return None if key in target or "." not in key else key.partition(".")[0]
