"""Checks as cases of pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.plugin_api.discovery import RegisteredModel, discover
from harness.testing.checks import CHECKS
from harness.testing.outcomes import Check, NotApplicableError
from harness.testing.subject import Subject

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class Case:
    """A check of a model: call it.

    Attributes:
        subject: Finds the model; the checks of one model share what was fitted.
        check: The check.
    """

    subject: Callable[[], Subject]
    check: Check

    def __call__(self) -> None:
        """Run the check; one that says nothing of this model is skipped."""
        import pytest  # noqa: PLC0415 - an author's tests have it

        try:
            self.check(self.subject())
        except NotApplicableError as error:
            pytest.skip(str(error))


def parametrize_with_checks(
    models: Sequence[str | Path],
    expected_failures: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> pytest.MarkDecorator:
    """Make a test a case for every check of every model; it takes an argument ``check``, and calls it.

    Args:
        models: Names of installed models, or plugin files, of which every model is checked.
        expected_failures: Why a check is known to fail, by its name.
        options: What a config would say of the models.

    Example:
        >>> @parametrize_with_checks(["my-model"])
        ... def test_my_model(check):
        ...     check()
    """
    import pytest  # noqa: PLC0415 - an author's tests have it

    reasons = dict(expected_failures or {})
    if unknown := [name for name in reasons if name not in CHECKS]:
        raise UsageError(f"no check '{unknown[0]}' (they are {', '.join(CHECKS)})")
    cases = [
        pytest.param(
            Case(subject, check),
            id=f"{model}-{name}",
            marks=[pytest.mark.xfail(reason=reasons[name], strict=True)] if name in reasons else [],
        )
        for model, subject in _subjects(models, dict(options or {}))
        for name, check in CHECKS.items()
    ]
    return pytest.mark.parametrize("check", cases)


def _subjects(models: Sequence[str | Path], options: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Subject]]]:
    for model in models:
        for registered in registered_models(model):
            yield registered.model.name, cache(lambda found=registered: Subject(found, options))


def registered_models(model: str | Path) -> list[RegisteredModel]:
    """Return the installed model of a name, or all models of a plugin file.

    Raises:
        UsageError: No such model.
        PluginError: The file could not be loaded.
    """
    path = Path(model)
    if path.suffix == ".py":
        host = discover([path])
        return [found for claims in host.claims.values() for found in claims if found.plugin.file == path.resolve()]
    return [discover().find(str(model))]
