"""Installed versions of the declared requirements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

_DISTRIBUTION = "breakhis-harness"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?P<wanted>[^;]*)(?:;.*extra\s*==\s*['\"](?P<extra>[\w.-]+)['\"])?")


@dataclass(frozen=True)
class LibraryState:
    """A library that the harness declares.

    Attributes:
        name: Of the distribution.
        wanted: Which versions, such as ``>=2.9``; may be empty.
        extra: The extra that asks for it; None where every run needs it.
        version: What is installed; None for nothing.
    """

    name: str
    wanted: str
    extra: str | None
    version: str | None

    @property
    def usable(self) -> bool:
        """True where it is installed and not too old."""
        oldest = re.search(r">=\s*([\d.]+)", self.wanted)
        return self.version is not None and (oldest is None or _numbers(self.version) >= _numbers(oldest[1]))

    @property
    def mend(self) -> str:
        """The command that installs it."""
        wanted = f"{_DISTRIBUTION}[{self.extra}]" if self.extra else f"{self.name}{self.wanted}"
        return f"pip install '{wanted}'"


def library_states() -> list[LibraryState]:
    """List the libraries that every run needs, then those of extras."""
    found = [_state(requirement) for requirement in requires(_DISTRIBUTION) or []]
    return sorted(found, key=lambda library: (library.extra or "", library.name))


def _state(requirement: str) -> LibraryState:
    parts = _REQUIREMENT.match(requirement)
    if parts is None:
        raise ValueError(f"{_DISTRIBUTION} declares {requirement!r}, which is no requirement")
    name = parts["name"]
    try:
        installed = version(name)
    except PackageNotFoundError:
        installed = None
    return LibraryState(name, parts["wanted"].strip(), parts["extra"], installed)


def _numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``2.9.1+cpu`` is (2, 9, 1)."""
    leading = re.match(r"[\d.]*\d", text)
    return tuple(map(int, leading[0].split("."))) if leading else ()
