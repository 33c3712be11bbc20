"""What a plugin's module registers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pluggy

from harness.errors import PluginError
from harness.plugin_api import hookspecs
from harness.plugin_api.data_set import DataSet, check_data_set
from harness.plugin_api.model import Model
from harness.plugin_api.run_observer import RunObserver
from harness.settings import Settings


@dataclass(frozen=True)
class Registration:
    """The classes that a plugin offers.

    Attributes:
        models: By name.
        observers: By name.
        data_sets: By name.
    """

    models: dict[str, type[Model]] = field(default_factory=dict)
    observers: dict[str, type[RunObserver]] = field(default_factory=dict)
    data_sets: dict[str, type[DataSet]] = field(default_factory=dict)

    def register_model(self, model: type[Model]) -> None:
        """Add a model.

        Raises:
            PluginError: It is none that can be used.
        """
        _check_class(model, Model, self.models)
        if not isinstance(model.reproduces, str | None) or not isinstance(model.is_shortcut, bool):
            raise PluginError(f"{model.__name__}: reproduces must be a text or None, and is_shortcut True or False")
        if model.__abstractmethods__:
            raise PluginError(f"{model.__name__} does not implement {', '.join(sorted(model.__abstractmethods__))}")
        self.models[model.name] = model

    def register_observer(self, observer: type[RunObserver]) -> None:
        """Add an observer.

        Raises:
            PluginError: It is none that can be used.
        """
        _check_class(observer, RunObserver, self.observers)
        needs: Any = observer.needs
        if ":" in observer.name:
            raise PluginError(f"{observer.__name__}: an observer's name has no colon")
        if not isinstance(needs, Mapping):
            raise PluginError(f"{observer.__name__}: needs must be a mapping of modules to what pip installs them from")
        if not (isinstance(observer.Options, type) and issubclass(observer.Options, Settings)):
            raise PluginError(f"{observer.__name__}: Options must be a subclass of harness.Options")
        self.observers[observer.name] = observer

    def register_data_set(self, data_set: type[DataSet]) -> None:
        """Add a data set.

        Raises:
            PluginError: It is none that can be used.
        """
        name = check_data_set(data_set).name
        if name in self.data_sets:
            raise PluginError(f"two classes register the name '{name}'")
        self.data_sets[name] = data_set


def registered_by(module: ModuleType) -> Registration:
    """Call a module's hooks and collect what it registers.

    Raises:
        PluginError: Nothing, or something that cannot be used.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    found = Registration()
    manager.hook.harness_register_models(register=found.register_model)
    manager.hook.harness_register_observers(register=found.register_observer)
    manager.hook.harness_register_data_sets(register=found.register_data_set)
    if not (found.models or found.observers or found.data_sets):
        raise PluginError(
            "it registers no model, no observer and no data set - does it implement the hook harness_register_models, "
            "harness_register_observers or harness_register_data_sets?"
        )
    return found


def _check_class(kind: Any, base: type[Model | RunObserver], taken: Mapping[str, object]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise PluginError(f"register() takes a subclass of harness.{base.__name__}, not {kind!r}")
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name:
        raise PluginError(f'{kind.__name__} has no name; write name = "..." in the class')
    if name in taken:
        raise PluginError(f"two classes register the name '{name}'")
