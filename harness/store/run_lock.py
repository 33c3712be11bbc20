"""The lock on a run folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UsageError
from harness.file_lock import locked

OnWait = Callable[[str], None]


@contextlib.contextmanager
def hold(folder: Path, on_wait: OnWait | None = None) -> Iterator[None]:
    """Hold a folder; the system lets go of it by itself when this process ends, however it does.

    Args:
        folder: Is there already. ``.lock`` in it is locked; ``.lock.json`` says by whom.
        on_wait: Wait for whoever holds it, after having told so here; refuse at once if None.

    Raises:
        UsageError: Another process holds it.
        EnvironmentMissingError: The file system knows no locks.
    """
    holder = folder / ".lock.json"
    with contextlib.ExitStack() as held:
        _acquire(held, folder, on_wait)
        try:
            holder.write_text(json.dumps(_oneself()) + "\n", encoding="utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)


def _acquire(held: contextlib.ExitStack, folder: Path, on_wait: OnWait | None) -> None:
    with contextlib.suppress(TimeoutError):
        held.enter_context(locked(folder / ".lock", seconds=0))
        return
    message = f"another 'harness run' ({_holder(folder)}) is at work in {folder}"
    if on_wait is None:
        raise UsageError(f"{message} - wait for it (--wait does), or choose another --out")
    on_wait(f"{message} - waiting for it")
    held.enter_context(locked(folder / ".lock"))


def _oneself() -> dict[str, str | int]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


def _holder(folder: Path) -> str:
    try:
        found = json.loads((folder / ".lock.json").read_text(encoding="utf-8"))
        return f"pid {int(found['pid'])} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said which"
