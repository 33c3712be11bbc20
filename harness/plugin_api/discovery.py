"""Plugin discovery: entry points and files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import PluginError, UsageError, did_you_mean
from harness.plugin_api.data_set import DataSet
from harness.plugin_api.installed import VARIABLE, installed_plugins
from harness.plugin_api.model import Model
from harness.plugin_api.reference import ModelReference, PluginReference, import_plugin
from harness.plugin_api.registration import registered_by
from harness.plugin_api.run_observer import RunObserver
from harness.plugin_api.source_hash import file_digests, own_files, source_hash


@dataclass(frozen=True)
class RegisteredModel:
    """A model and the plugin it came from.

    Attributes:
        model: The class.
        plugin: Where the plugin is.
        distribution: ``name version`` of the installed distribution, or ``file``.
        source: sha256 over the files.
        files: sha256 of the plugin's files, its whole package or its file, and of its author's that they import; by
            module name.
    """

    model: type[Model]
    plugin: PluginReference
    distribution: str
    source: str
    files: Mapping[str, str]

    @property
    def reference(self) -> ModelReference:
        """What another process finds the model by."""
        return ModelReference(self.plugin, self.model.name)

    @property
    def origin(self) -> str:
        """What a config calls the plugin to tell it from another: the name of its distribution, or of its file."""
        return self.plugin.name if self.plugin.file else self.distribution.partition(" ")[0]


@dataclass(frozen=True)
class RegisteredObserver:
    """An observer and the plugin it came from.

    Attributes:
        observer: The class.
        plugin: Where the plugin is.
        distribution: ``name version`` of the installed distribution, or ``file``.
    """

    observer: type[RunObserver]
    plugin: PluginReference
    distribution: str


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin, imported.

    Attributes:
        reference: Where it is.
        models: What it registers, by name.
        observers: Likewise.
        data_sets: Likewise.
        files: sha256 of the files that make it what it is, by module name.
    """

    reference: PluginReference
    models: dict[str, type[Model]]
    observers: dict[str, type[RunObserver]]
    data_sets: dict[str, type[DataSet]]
    files: Mapping[str, str]

    @property
    def source(self) -> str:
        """sha256 over the files."""
        return source_hash(self.files)

    def refuse_other_source(self, source: str) -> LoadedPlugin:
        """Return itself if it is the plugin that a run was begun with.

        Raises:
            PluginError: Its source has been changed since then.
        """
        if source != self.source:
            raise PluginError(
                f"the code of plugin {self.reference} is not what the run was begun with - it has been edited "
                "meanwhile, or another plugin has a module of the same name; run again"
            )
        return self


@dataclass
class PluginHost:
    """All models and observers that can be used, and why others cannot.

    Attributes:
        claims: Who registers a model of a name, by name, sorted; a name that several claim is nobody's.
        observers: Who registers an observer of a name, by name, sorted; likewise.
        data_sets: The data sets by name, sorted, and what distribution each comes from.
        failures: What could not be loaded, and the reason in one line, sorted by plugin.
        left_out: Plugins that ``$HARNESS_PLUGINS`` leaves out, sorted; they have not been imported.
    """

    claims: dict[str, list[RegisteredModel]] = field(default_factory=dict)
    observers: dict[str, list[RegisteredObserver]] = field(default_factory=dict)
    data_sets: dict[str, tuple[type[DataSet], str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def models(self) -> dict[str, RegisteredModel]:
        """The models whose name one plugin claims, by name."""
        return {name: claims[0] for name, claims in self.claims.items() if len(claims) == 1}

    def find(self, name: str) -> RegisteredModel:
        """Return a model by name, or by ``distribution:name`` where several plugins claim the name.

        Raises:
            PluginError: The plugin that goes by that name, or the file given for it, could not be loaded; or several
                claim it.
            UsageError: No such model.
        """
        by_origin = self._by_origin()
        found = self.claims.get(name) or by_origin.get(name) or []
        if len(found) == 1:
            return found[0]
        if found:
            raise PluginError(self._contest(name, found))
        self._refuse_failed(name)
        known = ", ".join(self.models) or "none"
        left_out = f"; {VARIABLE} leaves out {', '.join(self.left_out)}" if self.left_out else ""
        near = did_you_mean(name, by_origin if ":" in name else self.models)
        raise UsageError(f"no model '{name}'{near} (known: {known}{left_out})")

    def find_observer(self, name: str) -> RegisteredObserver:
        """Return an observer by name.

        Raises:
            PluginError: The plugin that goes by that name could not be loaded; or several claim it.
            UsageError: No such observer.
        """
        found = self.observers.get(name, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise PluginError(_observer_contest(name, found))
        self._refuse_failed(name)
        known = ", ".join(self.observers) or "none"
        raise UsageError(f"no observer '{name}'{did_you_mean(name, self.observers)} (known: {known})")

    def troubles(self) -> list[str]:
        """Say in a line each what cannot be used, and why."""
        failed = [f"plugin {name} could not be loaded: {reason}" for name, reason in self.failures.items()]
        models = [self._contest(name, found) for name, found in self.claims.items() if len(found) > 1]
        observers = [_observer_contest(name, found) for name, found in self.observers.items() if len(found) > 1]
        return failed + models + observers

    def rows_of_files(self) -> dict[str, dict[str, str]]:
        """Return a row of a config for each model of a plugin file; by ``file:name`` if another claims the name too."""
        rows: dict[str, dict[str, str]] = {}
        for name, found in self.claims.items():
            chosen = [f"{one.origin}:{name}" for one in found if one.plugin.file is not None]
            for row in chosen if len(found) > 1 else chosen[:1]:
                rows |= {row: {"plugin": row}} if len(found) > 1 else {name: {}}
        return rows

    def _refuse_failed(self, name: str) -> None:
        if name in self.failures:
            raise PluginError(f"plugin {name} could not be loaded: {self.failures[name]}")

    def _by_origin(self) -> dict[str, list[RegisteredModel]]:
        found: dict[str, list[RegisteredModel]] = {}
        for name, claims in self.claims.items():
            for one in claims:
                found.setdefault(f"{one.origin}:{name}", []).append(one)
        return found

    def _contest(self, name: str, found: list[RegisteredModel]) -> str:
        """Say who claims a name, and how to choose."""
        chosen = list(dict.fromkeys(f"{one.origin}:{one.model.name}" for one in found))
        if len(chosen) < len(found):
            files = " and ".join(str(one.plugin.file or one.distribution) for one in found)
            return f"{files} both register a model named '{name}' - rename one of the files"
        return f"{' and '.join(chosen)} both register a model named '{name}' - choose with 'plugin: {chosen[0]}'"


def discover(files: Iterable[Path] = ()) -> PluginHost:
    """Load every plugin: the entry points in group ``harness`` that ``$HARNESS_PLUGINS`` lets in, then the given files.

    Raises:
        UsageError: ``$HARNESS_PLUGINS`` names what is not installed.
        PluginError: A given file could not be loaded. An entry point that cannot be loaded raises nothing; it is listed
            in ``failures``.
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
    for file in dict.fromkeys(file.resolve() for file in files):
        try:
            _add(host, PluginReference(file.stem, file=file), "file")
        except PluginError as error:
            message = str(error)
            raise PluginError(message if file.name in message else f"{file}: {message}") from error
    host.claims, host.observers = dict(sorted(host.claims.items())), dict(sorted(host.observers.items()))
    host.data_sets = dict(sorted(host.data_sets.items()))
    return host


def load_plugin(reference: PluginReference) -> LoadedPlugin:
    """Import one plugin and collect what it registers; the working folder stays what it was.

    Raises:
        PluginError: It cannot be imported, misspells a hook, or registers something that cannot be used.
    """
    try:
        with contextlib.chdir(Path.cwd()):  # paths of the command line and of configs are relative to it
            found = registered_by(import_plugin(reference))
        return LoadedPlugin(
            reference, found.models, found.observers, found.data_sets, file_digests(_own_files(reference))
        )
    except PluginError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(f"{type(error).__name__}: {error}") from error


def _add(host: PluginHost, reference: PluginReference, distribution: str) -> None:
    loaded = load_plugin(reference)
    for model in loaded.models.values():
        claim = RegisteredModel(model, reference, distribution, loaded.source, loaded.files)
        host.claims.setdefault(model.name, []).append(claim)
    for observer in loaded.observers.values():
        host.observers.setdefault(observer.name, []).append(RegisteredObserver(observer, reference, distribution))
    for name, data_set in loaded.data_sets.items():
        host.data_sets.setdefault(name, (data_set, distribution))


def _observer_contest(name: str, found: list[RegisteredObserver]) -> str:
    origins = " and ".join(str(one.plugin.file or one.distribution) for one in found)
    return f"{origins} both register an observer named '{name}' - rename one, or leave one out with {VARIABLE}"


def _own_files(reference: PluginReference) -> dict[str, Path]:
    if reference.file is not None:
        return {reference.file.stem: reference.file}
    return own_files(str(reference.module))
