"""Observers as the command line names them."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config.strict_yaml import parse_yaml
from harness.errors import EnvironmentMissingError, UsageError
from harness.plugin_api.discovery import PluginHost, RegisteredObserver
from harness.settings import parse_settings
from harness.text import printable


@dataclass(frozen=True)
class ChosenObserver:
    """An observer that a run is to be watched by.

    Attributes:
        registered: The observer and its plugin.
        options: Complete, as JSON values.
    """

    registered: RegisteredObserver
    options: dict[str, Any]


def choose_observers(wanted: Sequence[str], host: PluginHost) -> list[ChosenObserver]:
    """Find observers, check their options, and see to it that what they import is installed.

    Args:
        wanted: ``NAME`` or ``NAME:KEY=VALUE,KEY=VALUE`` each; the values are YAML.
        host: The plugins.

    Raises:
        UsageError: No such observer, one that is named twice, or options that it does not have.
        PluginError: The plugin of an observer could not be loaded, or shares the observer's name with another.
        EnvironmentMissingError: Something that an observer imports is not installed.
    """
    given = [_parsed(text) for text in wanted]
    names = [name for name, _ in given]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"observer '{printable(twice[0])}' is named twice")
    return [_chosen(host.find_observer(name), options) for name, options in given]


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for one in rest.split(",") if rest else ():
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise UsageError(f"--observer {printable(text)[:100]}: expected NAME or NAME:KEY=VALUE,KEY=VALUE")
        options[key] = parse_yaml(value, f"--observer {name}: the value of {printable(key)[:100]}")
    return name, options


def _chosen(registered: RegisteredObserver, given: dict[str, Any]) -> ChosenObserver:
    kind = registered.observer
    with contextlib.chdir(Path.cwd()):  # the plugin's code may change the folder that paths are relative to
        options = parse_settings(kind.Options, given, f"options of observer '{kind.name}'")
    for module, requirement in kind.needs.items():
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            raise EnvironmentMissingError(
                f"observer '{kind.name}' needs {module}, which is not installed - pip install '{requirement}'"
            )
    return ChosenObserver(registered, options.model_dump(mode="json"))
