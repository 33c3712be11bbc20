"""File locks between processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

from harness.errors import EnvironmentMissingError, UsageError

_POLL_SECONDS = 0.1
_TAKEN = {errno.EACCES, errno.EAGAIN}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def locked(file: Path, seconds: float | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is made if it is not there, and stays.

    Args:
        file: Is neither read nor written.
        seconds: How long to wait for another process; None for as long as it takes.

    Raises:
        TimeoutError: Another process holds the lock.
        UsageError: This process is still importing the script that has started it, and would wait for that script.
        EnvironmentMissingError: The file system knows no locks.
        OSError: The file cannot be made.
    """
    _refuse_unguarded_script()
    with file.open("ab") as opened:
        _acquire(opened.fileno(), file, seconds)
        try:
            yield
        finally:
            # closing alone would not do: a process forked meanwhile has the file open as well
            fcntl.flock(opened, fcntl.LOCK_UN)


def _refuse_unguarded_script() -> None:
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself tells
        raise UsageError(
            "a process that a script has started imports that script, which must not begin its work again there - put "
            "the script's work under 'if __name__ == \"__main__\":'"
        )


def _acquire(descriptor: int, file: Path, seconds: float | None) -> None:
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise EnvironmentMissingError(
                    f"the file system of {file.parent} knows no locks, without which two processes could spoil each "
                    "other's files - choose a folder on another one (--out for results, HARNESS_CACHE for the cache)"
                ) from None
            if error.errno not in _TAKEN:
                raise
        else:
            return
        if seconds is not None and time.monotonic() - began >= seconds:
            raise TimeoutError(errno.ETIMEDOUT, "another process holds the lock", str(file))
        time.sleep(_POLL_SECONDS)
