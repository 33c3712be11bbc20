"""The process of an observer."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness.plugin_api.discovery import load_plugin
from harness.plugin_api.reference import PluginReference
from harness.processes import die_with_parent
from harness.text import printable

TAKEN, RAISED = b".", b"!"
"""What is answered for each message: a byte once it has been taken, or this one and the reason, the last of all."""

_NICENESS = 10
_REASON_BYTES = 1_000  # so few that a pipe takes them whole


def observe(
    messages: Connection, answers: Connection, plugin: PluginReference, name: str, options: dict[str, Any], log: Path
) -> None:
    """Tell an observer what comes in, until the host hangs up.

    Args:
        messages: Gives the events: JSON lists of a method's name and its arguments.
        answers: Takes what stands above; no frames, so that nothing which a plugin writes can keep the host waiting.
        plugin: The plugin to load.
        name: The observer to take from it.
        options: Of the observer.
        log: File for whatever it prints.
    """
    _settle_in(log)
    try:
        kind = load_plugin(plugin).observers[name]
        observer = kind(kind.Options.model_validate(options))
        for method, *records in _received(messages):
            getattr(observer, method)(*records)
            os.write(answers.fileno(), TAKEN)
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is a reason to drop it
        traceback.print_exc()
        reason = f"{type(error).__name__}: {printable(str(error).strip().partition(chr(10))[0])}"
        os.write(answers.fileno(), RAISED + reason.encode(errors="replace")[:_REASON_BYTES])
        sys.exit(1)


def _received(messages: Connection) -> Iterator[list[Any]]:
    while True:
        try:
            message = messages.recv_bytes()
        except EOFError:
            return
        yield json.loads(message)


def _settle_in(log: Path) -> None:
    """Leave Ctrl-C to the host and the processor to the cells, end with the host, and print to the log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    os.nice(_NICENESS)
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
