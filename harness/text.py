"""Text from plugins and file names, made safe to print."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\|<>`*\[\]])")


def printable(text: str) -> str:
    """Replace what steers a terminal or turns the direction of reading."""
    return "".join(character if character.isprintable() else " " for character in text)


def markdown(text: str) -> str:
    """Return text as Markdown that shows it as it is."""
    return _MARKUP.sub(r"\\\1", printable(text))
