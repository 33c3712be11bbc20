"""Standard streams that survive a closed pipe, a closed descriptor and a narrow encoding."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

_GONE = {errno.EPIPE, errno.EBADF, errno.ENOTCONN}


class _SteadyStream(io.TextIOWrapper):
    """A text stream that goes on into nothing when its reader has gone, as in ``harness run ... | head``."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._let_go(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._let_go(error)

    def _let_go(self, error: OSError) -> None:
        if error.errno not in _GONE:
            raise error
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)


def open_closed_streams() -> None:
    """Open nothing in the place of standard streams that are closed, before a file takes their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # helpers need them as well


def steady_streams() -> None:
    """Let output go on whatever becomes of its reader; what its encoding lacks is shown by its number."""
    open_closed_streams()
    sys.stdout, sys.stderr = _steady(sys.stdout, 1), _steady(sys.stderr, 2)


def _steady(stream: Any, number: int) -> Any:
    if stream is None:  # it was closed when Python started
        return _SteadyStream(os.fdopen(number, "wb", closefd=False), encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, _SteadyStream):
        return stream
    steady = _SteadyStream(
        stream.detach(), encoding=stream.encoding, errors="backslashreplace", line_buffering=stream.line_buffering
    )
    steady.mode = "w"  # type: ignore[misc]
    return steady
