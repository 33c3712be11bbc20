"""Resumable download of one file over http."""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError, UsageError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes of the whole file, None where the server does not say."""

MAX_BYTES = 60_000_000_000
"""Of a download, whether or not the server says how long it is; BreakHis has four thousand million."""

RETRIES = 3
RETRY_PAUSE_SECONDS = 2.0
TIMEOUT_SECONDS = 60.0

_CHUNK_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<total>\d+|\*)")


def download(url: str, target: Path, on_progress: Progress | None = None) -> None:
    """Download a file, unless it is here already; call it again after an interruption and it continues.

    Args:
        url: An http(s) address.
        target: The file to write. Its unfinished part and a note of the address lie beside it, the note for good.
        on_progress: Called while the file arrives.

    Raises:
        UsageError: ``url`` is no valid address.
        DataError: The server does not deliver; the message says how much is kept.
        OSError: The disk is full or cannot be written.
    """
    wanted = _Download(url, target)
    if not wanted.is_finished():
        wanted.finish(on_progress)


class _BrokenOffError(Exception):
    """The server did not deliver to the end; another attempt may."""


class _RestartError(_BrokenOffError):
    """What is here of the file is of no use to the server's present one."""


@dataclass(frozen=True)
class _Download:
    """A file on its way, with its unfinished part and a note of the file that the part belongs to."""

    url: str
    target: Path

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def note(self) -> Path:
        return self.target.with_name(self.target.name + ".json")

    def is_finished(self) -> bool:
        return self.target.exists() and self._noted().get("url") == self.url

    def finish(self, on_progress: Progress | None) -> None:
        """Fetch what is missing, in several attempts if need be."""
        self.target.unlink(missing_ok=True)  # of another address, and the note is about to say otherwise
        reason = ""
        for attempt in range(1 + RETRIES):
            if attempt:
                time.sleep(RETRY_PAUSE_SECONDS)
            try:
                self._fetch_rest(on_progress)
            except _BrokenOffError as error:
                reason = str(error)
                if isinstance(error, _RestartError):
                    self.part.unlink(missing_ok=True)
            else:
                self.part.replace(self.target)
                return
        kept = f"{self.part.stat().st_size:,} bytes are kept" if self.part.exists() else "nothing is here yet"
        raise DataError(
            f"{self.url} broke off {1 + RETRIES} times, at last because {reason}; {kept} - run the command again"
        )

    def _fetch_rest(self, on_progress: Progress | None) -> None:
        noted = self._noted()
        validator = str(noted.get("validator", "")) if noted.get("url") == self.url else ""
        begun = self.part.stat().st_size if validator and self.part.exists() else 0
        headers = {"Range": f"bytes={begun}-", "If-Range": validator} if begun else {}
        with _open(self.url, headers) as response:
            done, total = _extent(response, begun, validator)
            with self.part.open("ab" if done else "wb") as file:
                if not done:
                    self.note.write_text(json.dumps({"url": self.url, "validator": _validator(response)}), "utf-8")
                for chunk in _chunks(response):
                    file.write(chunk)
                    done += len(chunk)
                    if done > MAX_BYTES:
                        raise DataError(
                            f"{self.url} sends more than {MAX_BYTES:,} bytes, more than any data set that is "
                            f"known here - check the address, and delete {self.part}"
                        )
                    if on_progress is not None:
                        on_progress(done, total)
                file.flush()
                os.fsync(file.fileno())
        if total is not None and done != total:
            raise _BrokenOffError(f"{done:,} of {total:,} bytes arrived")

    def _noted(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.note.read_text("utf-8")))
        except (OSError, ValueError):
            return {}


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    opener = urllib.request.OpenerDirector()
    # Python's default opener also reads ftp, file and data addresses, to which a server could redirect.
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"User-Agent": "breakhis-harness", **headers})  # noqa: S310
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(url, error.code, str(error.reason)) from None
    except (http.client.InvalidURL, ValueError) as error:
        raise UsageError(f"{url} is no valid address: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"the connection failed: {getattr(error, 'reason', error)}") from error
    return response


def _refusal(url: str, code: int, reason: str) -> Exception:
    if code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _RestartError("the file on the server is shorter than what is here")
    if code >= http.client.INTERNAL_SERVER_ERROR or code == http.client.TOO_MANY_REQUESTS:
        return _BrokenOffError(f"the server answered {code} {reason}")
    return DataError(f"{url} answered {code} {reason} - check the address, or pass another one with --url")


def _extent(response: http.client.HTTPResponse, begun: int, validator: str) -> tuple[int, int | None]:
    """Where in the file the body begins, and the file's whole size in bytes."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0, response.length
    span = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    # Some servers ignore If-Range, so that the rest of another file would be appended.
    if span is None or int(span["start"]) != begun or _validator(response) not in {"", validator}:
        raise _RestartError("the file on the server is another one by now")
    return begun, None if span["total"] == "*" else int(span["total"])


def _validator(response: http.client.HTTPResponse) -> str:
    """What identifies the file for If-Range, which knows no weak ETags (RFC 9110, section 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read1(_CHUNK_BYTES):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"the connection was lost: {error}") from error
