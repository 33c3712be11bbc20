"""Installed versions of the declared requirements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

_DISTRIBUTION = "breakhis-harness"
_EXTRA = re.compile(r'extra == "([^"]+)"')


@dataclass(frozen=True)
class LibraryState:
    """A library that the harness declares.

    Attributes:
        requirement: As it is declared.
        extra: The extra that asks for it; None where every run needs it.
        version: What is installed; None for nothing.
    """

    requirement: Requirement
    extra: str | None
    version: str | None

    @property
    def name(self) -> str:
        """Name of the distribution."""
        return self.requirement.name

    @property
    def wanted(self) -> str:
        """Which versions, such as ``>=2.9``; may be empty."""
        return str(self.requirement.specifier)

    @property
    def usable(self) -> bool:
        """True where a version that is wanted is installed."""
        return self.version is not None and self.requirement.specifier.contains(self.version, prereleases=True)

    @property
    def mend(self) -> str:
        """The command that installs it."""
        wanted = f"{_DISTRIBUTION}[{self.extra}]" if self.extra else f"{self.name}{self.wanted}"
        return f"pip install '{wanted}'"


def library_states() -> list[LibraryState]:
    """List the libraries that every run needs, then those of extras."""
    declared = [Requirement(requirement) for requirement in requires(_DISTRIBUTION) or []]
    found = [_state(requirement) for requirement in declared if _applies(requirement)]
    return sorted(found, key=lambda library: (library.extra or "", library.name))


def _applies(requirement: Requirement) -> bool:
    """Whether it is asked for on this version of Python."""
    extra = _EXTRA.search(str(requirement.marker))
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra[1] if extra else ""})


def _state(requirement: Requirement) -> LibraryState:
    extra = _EXTRA.search(str(requirement.marker))
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        installed = None
    return LibraryState(requirement, extra[1] if extra else None, installed)
