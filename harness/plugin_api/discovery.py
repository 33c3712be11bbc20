"""Finding plugins: entry points and files, each loaded by itself, so that a broken one costs only itself."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pluggy

from harness.errors import PluginError, UsageError, did_you_mean
from harness.plugin_api import hookspecs
from harness.plugin_api.installed import VARIABLE, installed_plugins
from harness.plugin_api.model import Model


@dataclass(frozen=True)
class PluginReference:
    """Where a plugin is, so that another process can load the very same.

    Attributes:
        name: Of the entry point, or of the file without its ending.
        module: Import name of an entry point's module, or None.
        file: Path of a plugin file, or None.
    """

    name: str
    module: str | None = None
    file: Path | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.file or self.module})"


@dataclass(frozen=True)
class RegisteredModel:
    """A model and the plugin it came from.

    Attributes:
        model: The class.
        plugin: Where the plugin is.
        distribution: ``name version`` of the installed distribution, or ``file``.
        source: sha256 over the plugin's source: its whole package, or its file.
    """

    model: type[Model]
    plugin: PluginReference
    distribution: str
    source: str


@dataclass
class PluginHost:
    """All models that can be used, and why others cannot.

    Attributes:
        models: By name, sorted.
        failures: What could not be loaded, and the reason in one line, sorted by plugin.
        left_out: Plugins that ``$HARNESS_PLUGINS`` leaves out, sorted; they have not been imported.
    """

    models: dict[str, RegisteredModel] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def find(self, name: str) -> RegisteredModel:
        """Return a model by name.

        Raises:
            PluginError: The plugin that goes by that name, or the file given for it, could not be loaded.
            UsageError: No such model.
        """
        if name in self.models:
            return self.models[name]
        if name in self.failures:
            raise PluginError(f"plugin {name} could not be loaded: {self.failures[name]}")
        known = ", ".join(self.models) or "none"
        left_out = f"; {VARIABLE} leaves out {', '.join(self.left_out)}" if self.left_out else ""
        raise UsageError(f"no model '{name}'{did_you_mean(name, self.models)} (known: {known}{left_out})")


def discover(files: Iterable[Path] = ()) -> PluginHost:
    """Load every plugin: the entry points in group ``harness`` that ``$HARNESS_PLUGINS`` lets in, then the given files.

    Raises:
        UsageError: ``$HARNESS_PLUGINS`` names what is not installed.
        PluginError: A given file could not be loaded, or two plugins claim one model name. An entry point that cannot
            be loaded raises nothing; it is listed in ``failures``.
    """
    installed = installed_plugins()
    host = PluginHost(left_out=[plugin.name for plugin in installed if not plugin.wanted])
    for plugin in installed:
        if not plugin.wanted:
            continue
        try:
            _add(host, PluginReference(plugin.name, module=plugin.module), plugin.distribution)
        except PluginError as error:
            host.failures[plugin.name] = str(error)
    for file in files:
        try:
            _add(host, PluginReference(file.stem, file=file.resolve()), "file")
        except PluginError as error:
            told = str(error)
            raise PluginError(told if file.name in told else f"{file}: {told}") from error
    host.models = dict(sorted(host.models.items()))
    return host


def load_models(reference: PluginReference) -> dict[str, type[Model]]:
    """Import one plugin and collect what it registers.

    Raises:
        PluginError: It cannot be imported, misspells a hook, or registers something that is no usable model.
    """
    try:
        module = _import(reference)
        return _registered_by(module)
    except PluginError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(f"{type(error).__name__}: {error}") from error


def _add(host: PluginHost, reference: PluginReference, distribution: str) -> None:
    models = load_models(reference)
    source = _source_hash(reference)
    for name, model in models.items():
        if name in host.models:
            raise PluginError(f"{reference} and {host.models[name].plugin} both register a model named '{name}'")
        host.models[name] = RegisteredModel(model, reference, distribution, source)


def _import(reference: PluginReference) -> ModuleType:
    if reference.file is None:
        return importlib.import_module(str(reference.module))
    if not reference.file.is_file():
        raise PluginError(f"no such plugin file: {reference.file}")
    name = f"harness_plugin_file_{hashlib.sha256(str(reference.file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, reference.file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{reference.file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _registered_by(module: ModuleType) -> dict[str, type[Model]]:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    models: dict[str, type[Model]] = {}

    def register(model: type[Model]) -> None:
        _check_model(model, models)
        models[model.name] = model

    manager.hook.harness_register_models(register=register)
    if not models:
        raise PluginError("it registers no model - does it implement the hook harness_register_models?")
    return models


def _check_model(model: type[Model], models: dict[str, type[Model]]) -> None:
    if not (isinstance(model, type) and issubclass(model, Model)):
        raise PluginError(f"register() takes a subclass of harness.Model, not {model!r}")
    if not isinstance(getattr(model, "name", None), str) or not model.name:
        raise PluginError(f'{model.__name__} has no name; write name = "..." in the class')
    if model.__abstractmethods__:
        raise PluginError(f"{model.__name__} does not implement {', '.join(sorted(model.__abstractmethods__))}")
    if model.name in models:
        raise PluginError(f"two classes register the name '{model.name}'")


def _source_hash(reference: PluginReference) -> str:
    """Hash the file, or every Python file of the package that an entry point's module belongs to."""
    if reference.file is not None:
        files = [reference.file]
    else:
        top = importlib.import_module(str(reference.module).partition(".")[0])
        files = sorted(file for folder in getattr(top, "__path__", []) for file in Path(folder).rglob("*.py"))
        files = files or [Path(str(top.__file__))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
