"""Outcomes of checks."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.plugin_api.conformance import CheckError
from harness.testing.subject import Subject

Check = Callable[[Subject], None]
State = Literal["passed", "failed", "expected", "unexpected pass", "skipped"]


class NotApplicableError(Exception):
    """A check that says nothing of this model; the message says why."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check.

    Attributes:
        check: Its name.
        state: ``expected`` for a failure that was announced, ``unexpected pass`` for one that did not come.
        words: Why.
        seconds: What it took.
    """

    check: str
    state: State
    words: str
    seconds: float

    @property
    def is_trouble(self) -> bool:
        """Whether something has to be done about it."""
        return self.state in {"failed", "unexpected pass"}

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def run_checks(
    subject: Subject, checks: Mapping[str, Check], expected_failures: Mapping[str, str] | None = None
) -> Iterator[CheckResult]:
    """Run checks one after the other.

    Args:
        subject: The model.
        checks: By name.
        expected_failures: Why a check is known to fail, by its name.
    """
    for name, check in checks.items():
        started = time.perf_counter()
        state, words = _outcome(check, subject)
        reason = (expected_failures or {}).get(name)
        if reason is not None and state != "skipped":
            state, words = ("expected", reason) if state == "failed" else ("unexpected pass", f"announced: {reason}")
        yield CheckResult(name, state, words, time.perf_counter() - started)


def _outcome(check: Check, subject: Subject) -> tuple[State, str]:
    try:
        check(subject)
    except NotApplicableError as error:
        return "skipped", str(error)
    except CheckError as error:
        return "failed", str(error)
    except Exception as error:  # noqa: BLE001 - a plugin's own code raises whatever it likes
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "failed", f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
    return "passed", ""
