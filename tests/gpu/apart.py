"""A command in a process of its own, with a limit of time."""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness.text import printable

_REASON_CHARACTERS = 400


@dataclass(frozen=True)
class Outcome:
    """What came of a part.

    Attributes:
        state: ``done``, ``not reached``, ``failed`` or ``timed out``.
        reason: Why it is not done; empty where it is.
        rows: Of its table, those before a failure included.
    """

    state: str
    reason: str = ""
    rows: tuple[dict[str, Any], ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to measure."""
        return self.state == "done"


def run_apart(command: list[str], rows: Path, log: Path, seconds: float) -> Outcome:
    """Run a command that appends rows to a file, and end it and all it has started when its time is over.

    Args:
        command: Program and arguments.
        rows: File of JSON values, one a line; a line of text is the reason why there is nothing to measure.
        log: What the command prints.
        seconds: Limit.
    """
    for file in (rows, log):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
    with log.open("wb") as printed:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT)
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    values = _whole_values(rows)
    found = tuple(value for value in values if isinstance(value, dict))
    if code is None:
        return Outcome("timed out", f"it was ended after {seconds:.0f} s; the rows are those before", found)
    if code != 0:
        return Outcome("failed", f"{_last_line(log)} (ended with {code})", found)
    reasons = [value for value in values if isinstance(value, str)]
    return Outcome("not reached", reasons[0], found) if reasons else Outcome("done", rows=found)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    process.kill()
    process.wait()


def _whole_values(rows: Path) -> list[Any]:
    """Read what was written; a process that is killed may leave half a line."""
    lines = rows.read_text(encoding="utf-8").splitlines(keepends=True) if rows.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return printable(lines[-1].strip())[:_REASON_CHARACTERS] if lines else "it printed nothing"
