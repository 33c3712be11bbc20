"""The models of a run and their options."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.config.run_config import RunConfig
from harness.errors import HarnessError, PluginError
from harness.planning.cell_keys import ModelIdentity, brief, plugin_part
from harness.planning.labels import refuse_folders_that_cannot_be
from harness.plugin_api.discovery import PluginHost, RegisteredModel
from harness.plugin_api.model import Model, Requirements
from harness.settings import parse_settings
from harness.store.keys import hash_of
from harness.store.schema import StartRecord

T = TypeVar("T")


@dataclass(frozen=True)
class ModelEntry:
    """A row of the tables, ready to be trained.

    Attributes:
        label: The row's name.
        registered: The model behind it and its plugin.
        options: The model's options, complete, as JSON values.
    """

    label: str
    registered: RegisteredModel
    options: dict[str, Any]

    def identity(self, starts_from: StartRecord) -> ModelIdentity:
        """Return what the model adds to the keys of its cells."""
        model = self.registered
        plugin = plugin_part(model.source, model.distribution, model.model.name)
        return ModelIdentity(plugin, brief(hash_of(self.options)), brief(hash_of(starts_from.part())))

    def make(self) -> Model:
        """Make the model."""
        kind = self.registered.model
        return kind(kind.Options.model_validate(self.options))

    def requirements(self) -> Requirements:
        """Ask the model what it needs.

        Raises:
            PluginError: The plugin fails at that, or answers something else.
        """
        needs = self._asked(lambda model: model.requirements())
        if not isinstance(needs, Requirements):
            raise PluginError(
                f"model '{self.label}': requirements() must return a harness.Requirements, not {type(needs).__name__}"
            )
        return needs

    def deviations(self) -> list[str]:
        """Ask the model in what its options differ from the paper's recipe.

        Raises:
            PluginError: The plugin fails at that.
        """
        found: Any = self._asked(lambda model: model.deviations())
        if not isinstance(found, tuple | list) or not all(isinstance(words, str) for words in found):
            raise PluginError(f"model '{self.label}': deviations() must return a tuple of texts, not {found!r:.80}")
        return list(found)

    def _asked(self, question: Callable[[Model], T]) -> T:
        try:
            with contextlib.chdir(Path.cwd()):  # the plugin's code may change the folder that paths are relative to
                return question(self.make())
        except HarnessError:
            raise
        except (Exception, SystemExit) as error:
            line = str(error).partition("\n")[0]
            raise PluginError(f"model '{self.label}' cannot be made: {type(error).__name__}: {line}") from error


def model_entries(config: RunConfig, host: PluginHost) -> list[ModelEntry]:
    """Find the config's models and check their options.

    Raises:
        ConfigError: Options that a model does not have, or labels that are too long for file names or cannot be told
            apart in them.
        UsageError: A model that no plugin offers.
        PluginError: The plugin of a model could not be loaded, or shares the model's name with another.
    """
    entries = []
    for label in config.models:
        name, given = config.model_of(label)
        registered = host.find(name)
        with contextlib.chdir(Path.cwd()):
            options = parse_settings(registered.model.Options, given, f"options of model '{label}'")
        entries.append(ModelEntry(label, registered, options.model_dump(mode="json")))
    refuse_folders_that_cannot_be([entry.label for entry in entries])
    return entries
