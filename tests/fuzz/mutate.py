"""Sound inputs spoilt at random: bytes, text and trees of JSON values."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from random import Random
from typing import Any

_EDGE = re.compile(r"\b|$")
_BYTES = (b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\n", b"\r\n", b'"')
_VALUES = (
    *(None, True, False, 0, -1, 1, 2, 10**6, 2**31, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.5, 1e308, 5e-324),
    *(float("inf"), float("-inf"), float("nan"), "", "x", "\0", "\x1b[31m", "\u202e", "../../x", "/etc/passwd", "0"),
    *("nan", "done", "failed", "\ud800", "x" * 300, [], {}, [[]], [None], [{}], {"x": 1}, {"": None}, ["x", 1]),
)


def spoil_bytes(rng: Random, content: bytes, most: int = 4) -> bytes:
    """Change, insert, remove, repeat or cut bytes, up to ``most`` times."""
    spoilt = bytearray(content)
    for _ in range(rng.randint(1, most)):
        place, length = rng.randint(0, len(spoilt)), rng.choice((1, 1, 2, 4, 16))
        what = rng.randrange(6)
        if what == 0 and place < len(spoilt):
            spoilt[place] ^= 1 << rng.randrange(8)
        elif what == 1:
            spoilt[place : place + length] = rng.randbytes(length)
        elif what == 2:
            spoilt[place:place] = rng.choice(_BYTES)
        elif what == 3:
            del spoilt[place : place + length]
        elif what == 4:
            spoilt[place:place] = spoilt[place : place + rng.randint(1, 40)]
        elif rng.random() < 0.3:
            del spoilt[place:]
    return bytes(spoilt)


def spoil_text(rng: Random, text: str, words: Sequence[str], most: int = 4) -> str:
    """Insert words, replace or remove pieces, or repeat lines, up to ``most`` times."""
    for _ in range(rng.choice((1, 1, 1, 2, most))):
        edges = [found.start() for found in _EDGE.finditer(text)] if rng.random() < 0.7 else []
        place, length = rng.choice(edges) if edges else rng.randint(0, len(text)), rng.choice((0, 0, 1, 3, 8))
        text = text[:place] + rng.choice(words) + text[place + length :]
        if rng.random() < 0.2:
            lines = text.split("\n")
            lines.insert(rng.randint(0, len(lines)), rng.choice(lines))
            text = "\n".join(lines)
    return text


def spoil_tree(rng: Random, tree: Any, most: int = 3) -> Any:
    """Replace, remove, add or rename values somewhere in a tree, up to ``most`` times."""
    spoilt = copy.deepcopy(tree)
    for _ in range(rng.randint(1, most)):
        places = list(_places(spoilt))
        if not places:
            return rng.choice(_VALUES)
        holder, key = rng.choice(places)
        what = rng.randrange(4)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[rng.choice(("x", "", "../x", "\x1b"))] = holder.pop(key)
        elif what == 2:
            holder[key] = copy.deepcopy(rng.choice(places)[0])
        else:
            holder[key] = copy.deepcopy(rng.choice(_VALUES))
    return spoilt


def _places(tree: Any) -> Any:
    """Every place in a tree: what holds it, and its key or number there."""
    pairs = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in pairs:
        yield tree, key
        yield from _places(value)
