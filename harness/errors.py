"""The exceptions of the harness and their exit codes.

Every message is written for the person at the terminal: what was found, where, and what to do about it. The class
decides the exit code of the command line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from harness.text import printable


class HarnessError(Exception):
    """Base of all errors that the harness raises on purpose; ``exit_code`` is what the command line ends with."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the message on one line, whatever the names and values in it hold."""
        return printable(super().__str__())


class UsageError(HarnessError):
    """A request that cannot be met as it stands: a bad config, a wrong name, a protocol the data do not allow."""

    exit_code = 2


class ConfigError(UsageError):
    """A config with an unknown key, a value out of range, or a contradiction."""


class SplitError(UsageError):
    """The protocol cannot divide these images: too few groups of a class, or a side left empty."""


class SplitLeakError(UsageError):
    """A group, or one and the same picture, stands on two sides of a split."""


class ComparisonError(UsageError):
    """Results that must not stand in one table: something that decides the comparison differs."""


class EnvironmentMissingError(HarnessError):
    """Data, weights or a place to write are missing or damaged."""

    exit_code = 3


class DataError(EnvironmentMissingError):
    """Images are missing, unreadable or not what they claim to be."""


class NoImagesError(DataError):
    """A folder holds none of the images that were expected."""


class PluginError(HarnessError):
    """A plugin could not be loaded, or a name is claimed twice."""

    exit_code = 4


class CellError(HarnessError):
    """A cell could not be trained or evaluated."""


class DivergedError(CellError):
    """The loss stopped being a finite number."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return `` - did you mean 'x'?`` for the closest known name, or an empty string.

    >>> did_you_mean("epoch", ["epochs", "seed"])
    " - did you mean 'epochs'?"
    """
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f" - did you mean '{close[0]}'?" if close else ""
