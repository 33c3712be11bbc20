"""Image format detection from a file's first bytes."""

from __future__ import annotations

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


def format_fault(content: bytes) -> str | None:
    """Say what the bytes of a file are where they are neither a PNG nor a JPEG, and return None for these.

    What a file is called does not matter: a JPEG under the name of a PNG is a JPEG.
    """
    if not content:
        return "the file is empty"
    if content.startswith((_PNG, _JPEG)):
        return None
    return f"it is {_kind(content)} file, not a PNG or JPEG"


def _kind(content: bytes) -> str:
    for place, signature, kind in _KINDS:
        if content[place : place + len(signature)] == signature:
            return kind
    return "a text" if _is_text(content[:512]) else "another kind of"


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", "ignore")  # the cut may go through a character
    return len(text.encode()) > len(head) - 4 and all(c.isprintable() or c.isspace() for c in text)
