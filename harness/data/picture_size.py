"""Size limits of decoded pictures."""

from __future__ import annotations

MAX_PIXELS = 1 << 26
MAX_ASPECT = 100
"""How many times as long as wide a picture may be: scaled up by its short side, a longer one would fill the memory."""


def size_fault(kind: str, width: int, height: int) -> str | None:
    """Say why a picture of this size is not decoded, or return None for a size that is.

    Args:
        kind: ``PNG`` or ``JPEG``.
        width: In pixels, as the header says.
        height: In pixels, as the header says.
    """
    if not (width and height):
        return f"the {kind} has no pixels: {width:,} x {height:,}"
    if width * height > MAX_PIXELS:
        return f"the {kind} claims {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are decoded"
    if max(width, height) > MAX_ASPECT * min(width, height):
        return f"the {kind} is {width:,} x {height:,} pixels, more than {MAX_ASPECT} times as long as wide"
    return None
