"""Image file format detection."""

from __future__ import annotations

from harness.data.jpeg import jpeg_fault
from harness.data.png import png_fault

MAX_FILE_BYTES = 600_000_000
"""More than any PNG or JPEG of the largest picture that is decoded."""

_PNG, _JPEG = b"\x89PNG", b"\xff\xd8\xff"
_KINDS = (
    (0, b"GIF8", "a GIF"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"II+\0", "a TIFF"),
    (0, b"MM\0+", "a TIFF"),
    (8, b"WEBP", "a WebP"),
    (0, b"BM", "a BMP"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftyphe", "a HEIC"),
    (4, b"jP  ", "a JPEG 2000"),
    (128, b"DICM", "a DICOM"),
    (0, b"%PDF", "a PDF"),
    (0, b"PK\x03\x04", "a zip"),
    (0, b"\x1f\x8b", "a gzip"),
)
"""Where in a file which bytes tell its kind."""


def encoded_fault(content: bytes) -> str | None:
    """Say why the bytes of a file are not decoded, or return None for a PNG or JPEG that a decoder may see.

    What a file is called does not matter: a JPEG under the name of a PNG is a JPEG. Any other kind is named.
    """
    if not content:
        return "the file is empty"
    if content.startswith((_PNG, _JPEG)):
        return png_fault(content) or jpeg_fault(content)
    return f"it is {_kind(content)} file, not a PNG or JPEG"


def _kind(content: bytes) -> str:
    for place, signature, kind in _KINDS:
        if content[place : place + len(signature)] == signature:
            return kind
    return "a text" if _is_text(content[:512]) else "another kind of"


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", "ignore")  # the cut may go through a character
    return len(text.encode()) > len(head) - 4 and all(c.isprintable() or c.isspace() for c in text)
