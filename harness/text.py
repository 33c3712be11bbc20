"""Text for people: safe to print, Markdown, durations."""

from __future__ import annotations

import re
from collections.abc import Iterable

# "< 0.001" opens no tag, P_img no emphasis, and "R&D" is no character's name
_MARKUP = re.compile(r"([\\|>`*\[\]~$]|<(?! )|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;))")


def printable(text: str) -> str:
    """Replace what steers a terminal, ends a line or turns the direction of reading by a space; letters all stay."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def markdown(text: str) -> str:
    """Return text as Markdown that shows it as it is."""
    return _MARKUP.sub(r"\\\1", printable(text))


def natural_order(names: Iterable[str]) -> list[str]:
    """Sort names by the numbers in them: ``40x`` before ``100x``."""

    def key(name: str) -> tuple[list[tuple[str, int]], str]:
        words, numbers = re.split("[0-9]+", name), [*re.findall("[0-9]+", name), "0"]
        return [(word, int(number)) for word, number in zip(words, numbers, strict=True)], name

    return sorted(names, key=key)


def duration(seconds: float) -> str:
    """Return seconds in words that a person plans with, such as ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
