"""The record: what every part has found, with what code; JSON for the next call, Markdown for people."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from apart import Outcome
from parts import Part
from tabulate import tabulate

from harness.durable import write_json, write_text
from harness.text import duration, markdown

_SCHEMA_VERSION = 2
NO_TIME = "no time left"


@dataclass(frozen=True)
class Sources:
    """The code that a part was measured with.

    Attributes:
        hash: Of all that a figure can depend on: a commit does not tell of files that were changed since.
        commit: Of the checkout; None outside one.
    """

    hash: str
    commit: str | None

    def __str__(self) -> str:
        return f"commit {self.commit} (sources {self.hash})" if self.commit else f"sources {self.hash}, no checkout"


@dataclass(frozen=True)
class Entry:
    """A part of the record as it was found.

    Attributes:
        outcome: What came of it.
        sources: What it was measured with.
        ended: When, in UTC.
        took_seconds: With the start of its process.
    """

    outcome: Outcome
    sources: Sources
    ended: str
    took_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return it for the file."""
        rest = {"sources": vars(self.sources), "ended": self.ended, "took_seconds": self.took_seconds}
        return {**vars(self.outcome), **rest}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` has written."""
        outcome = Outcome(found["state"], found["reason"], tuple(found["rows"]))
        return cls(outcome, Sources(**found["sources"]), found["ended"], found["took_seconds"])


@dataclass
class Record:
    """What was found on one machine.

    Attributes:
        folder: Of ``record.md`` and ``record.json``.
        machine: What figures depend on beside the code.
        sources: The code of today. What was measured with other code is shown until it is measured again.
        entries: By the part's name.
    """

    folder: Path
    machine: dict[str, Any]
    sources: Sources
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def continued(cls, folder: Path, machine: dict[str, Any], sources: Sources) -> Self:
        """Return the folder's record, or a new one where it is of another machine."""
        file = folder / "record.json"
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if found.get("schema_version") != _SCHEMA_VERSION or found["machine"] != machine:
            return cls(folder, machine, sources)
        entries = {name: Entry.from_json(entry) for name, entry in found["parts"].items()}
        return cls(folder, machine, sources, entries)

    def is_done(self, name: str) -> bool:
        """Whether a part need not be measured again."""
        return self._is_current(name) and self.entries[name].outcome.is_done

    def was_tried(self, name: str) -> bool:
        """Whether a part was begun before with this code."""
        return self._is_current(name) and self.entries[name].outcome.state != NO_TIME

    def failed(self, name: str) -> bool:
        """Whether a part failed or was ended with this code."""
        return self._is_current(name) and self.entries[name].outcome.state in {"failed", "timed out"}

    def _is_current(self, name: str) -> bool:
        return name in self.entries and self.entries[name].sources.hash == self.sources.hash

    def put(self, name: str, outcome: Outcome, took_seconds: float) -> None:
        """Take what came of a part; that there was no time for it does not replace what was found before."""
        if outcome.state == NO_TIME and name in self.entries:
            return
        self.entries[name] = Entry(outcome, self.sources, f"{datetime.now(UTC):%Y-%m-%d %H:%M}", round(took_seconds, 1))

    def write(self, parts: Mapping[str, Part]) -> None:
        """Write both files, each whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "schema_version": _SCHEMA_VERSION,
            "machine": self.machine,
            "parts": {name: entry.to_json() for name, entry in self.entries.items()},
        }
        write_json(self.folder / "record.json", content)
        write_text(self.folder / "record.md", self.to_markdown(parts))

    def to_markdown(self, parts: Mapping[str, Part]) -> str:
        """Return the page."""
        reached = sum(self.is_done(name) for name in parts)
        lines = [
            "# What was measured on a device",
            "",
            f"`make gpu`: {reached} of {len(parts)} parts are finished, with {self.sources}.",
            *([_ON_CPU] if self.machine["size"] == "tiny" else []),
            "",
            *(f"- {name}: {markdown(str(value))}" for name, value in self.machine.items()),
            "",
        ]
        return "\n".join([*lines, *self._not_reached(parts), *self._tables(parts)])

    def _not_reached(self, parts: Mapping[str, Part]) -> list[str]:
        missing = {name: part for name, part in parts.items() if not self.is_done(name)}
        if not missing:
            return []
        rows = [[part.title, markdown(self._why_not(name))] for name, part in missing.items()]
        return ["## Not reached, or with other code", "", tabulate(rows, ["part", "why"], tablefmt="pipe"), ""]

    def _why_not(self, name: str) -> str:
        if name not in self.entries:
            return "not tried yet"
        outcome = self.entries[name].outcome
        if not self._is_current(name):
            return f"{outcome.state} with other code, {self.entries[name].sources}"
        return f"{outcome.state}: {outcome.reason}"

    def _tables(self, parts: Mapping[str, Part]) -> list[str]:
        found = [(part, self.entries[name]) for name, part in parts.items() if name in self.entries]
        return [line for part, entry in found if entry.outcome.rows for line in _section(part, entry)]


_ON_CPU = "It ran on the CPU with tiny networks: that says that the command works, and nothing of any speed."


def _section(part: Part, entry: Entry) -> list[str]:
    rows = [{name: _cell(value) for name, value in row.items()} for row in entry.outcome.rows]
    ending = "" if entry.outcome.is_done else f" {entry.outcome.state.capitalize()}: {markdown(entry.outcome.reason)}."
    return [
        f"## {part.title}",
        "",
        part.shows,
        "",
        tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True),
        "",
        f"Not shown: {part.blind}",
        "",
        f"Ended {entry.ended} UTC, after {duration(entry.took_seconds)}, with {entry.sources}.{ending}",
        "",
    ]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else markdown(str(value))


def fill(
    record: Record,
    parts: Mapping[str, Part],
    wanted: Sequence[str],
    run: Callable[[str, float], Outcome],
    left: Callable[[], float],
    tell: Callable[[str], object],
) -> None:
    """Measure what is missing, what was never tried first, and write the record after each part.

    Args:
        record: Is filled.
        parts: All that a record has.
        wanted: Names of those to measure.
        run: Measures the part of a name, and ends it after so many seconds.
        left: Seconds that are left for everything.
        tell: Is told what came of each part.
    """
    missing = [name for name in wanted if not record.is_done(name)]
    for name in sorted(missing, key=record.was_tried):
        seconds, began = parts[name].seconds, time.monotonic()
        if left() < seconds:
            outcome = Outcome(NO_TIME, f"it takes about {duration(seconds)}, and there were {max(left(), 0):.0f} s")
        else:
            outcome = run(name, min(3 * seconds, left()))
        record.put(name, outcome, time.monotonic() - began)
        record.write(parts)
        tell(f"{name}: {outcome.state}{f': {outcome.reason}' if outcome.reason else ''}\n")
    record.write(parts)
