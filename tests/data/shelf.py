"""A server on this machine that hands out one archive and can misbehave, and archives to put there."""

from __future__ import annotations

import io
import random
import stat
import tarfile
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from harness.api.data import fetch_data_set
from harness.data.fetch import FetchReport

LUNGS = {
    "lung_colon_image_set/lung_image_sets/lung_aca/lungaca1.jpeg": b"a" * 1000,
    "lung_colon_image_set/lung_image_sets/lung_n/lungn1.jpeg": b"n" * 1000,
}


@dataclass
class Shelf:
    """What the server offers, how it misbehaves, and what it was asked.

    ``cuts`` holds, request by request, how many bytes of the body are sent before the connection drops.
    """

    content: bytes = b""
    etag: str = '"first"'
    ranges: bool = True
    heeds_if_range: bool = True
    says_length: bool = True
    redirect: str = ""
    status: int = 0
    cuts: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    shelf: Shelf

    def log_message(self, *_: Any) -> None:
        """Keep the test output clean."""

    def do_GET(self) -> None:
        shelf, wanted = self.shelf, self.headers.get("Range")
        shelf.asked.append(wanted)
        if shelf.redirect or shelf.status:
            self.send_response(shelf.status or 302)
            self.send_header("Location", shelf.redirect)
            self.end_headers()
            return
        fresh = self.headers.get("If-Range") == shelf.etag or not shelf.heeds_if_range
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and shelf.ranges and fresh else 0
        if start >= len(shelf.content) > 0:
            self.send_response(416)
            self.end_headers()
            return
        self.send_body(start)

    def send_body(self, start: int) -> None:
        shelf, size = self.shelf, len(self.shelf.content)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if shelf.etag:
            self.send_header("ETag", shelf.etag)
        if shelf.says_length:
            self.send_header("Content-Length", str(size - start))
        self.end_headers()
        self.wfile.write(shelf.content[start:][: shelf.cuts.pop(0) if shelf.cuts else None])


def noise(seed: int = 0) -> bytes:
    """Bytes that do not compress, as those of images."""
    return random.Random(seed).randbytes(6000)


def tar_gz(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry in extra:
            tar.addfile(entry)
    return packed.getvalue()


def zipped(files: dict[str, bytes], mode: int = 0o644 | stat.S_IFREG) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def plain_tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def fetch_lungs(folder: Path, shelf: Shelf) -> FetchReport:
    return fetch_data_set("lc25000", folder, shelf.url)


def part_of(folder: Path) -> Path:
    return folder / ".download" / "LC.tar.gz.part"


def assert_arrived(folder: Path) -> None:
    assert {p.name for p in folder.rglob("*.jpeg")} == {"lungaca1.jpeg", "lungn1.jpeg"}
    assert [p.name for p in folder.iterdir()] == ["lung_colon_image_set"]
