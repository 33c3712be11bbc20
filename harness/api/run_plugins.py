"""The plugins of a run that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.run_config import ModelSettings, RunConfig
from harness.errors import ConfigError, UsageError, did_you_mean
from harness.planning.observer import Observer

if TYPE_CHECKING:  # torch: a run in which every cell is kept does without
    from harness.execution.observer_request import ChosenObserver
    from harness.plugin_api.discovery import PluginHost


@dataclass(frozen=True)
class RunPlugins:
    """The plugins of a request, imported when they are first needed.

    Attributes:
        files: Plugin files.
        observer: Is told of plugins that cannot be loaded.
    """

    files: tuple[Path, ...]
    observer: Observer

    @cached_property
    def host(self) -> PluginHost:
        """All plugins."""
        from harness.plugin_api.discovery import discover  # noqa: PLC0415 - torch

        host = discover(self.files)
        for trouble in host.troubles():
            self.observer.note(trouble)
        return host

    def with_named(self, config: RunConfig, labels: Sequence[str]) -> RunConfig:
        """Return a config in which models that it does not have stand as well, if there are such.

        Raises:
            ConfigError: There is no model of a label, neither in the config nor installed.
        """
        missing = [label for label in labels if label not in config.models]
        for label in missing:
            try:
                self.host.find(RunConfig.plugin_of(label))
            except UsageError as error:
                near = did_you_mean(label, [*config.models, *self.host.models])
                known = f"it has {', '.join(config.models)}; installed are {', '.join(self.host.models)}"
                raise ConfigError(f"no model '{label}' in the config, and none is installed{near} ({known})") from error
        return config.model_copy(update={"models": {**config.models, **{name: ModelSettings() for name in missing}}})

    def chosen_observers(self, wanted: Sequence[str]) -> Sequence[ChosenObserver]:
        """Find the observers that are asked for.

        Raises:
            HarnessError: One of them is not there, or cannot be used.
        """
        if not wanted:
            return ()
        from harness.execution.observer_request import choose_observers  # noqa: PLC0415 - torch

        return choose_observers(wanted, self.host)

    def rows(self) -> Mapping[str, Any]:
        """Return the rows that the models of plugin files have, as a config holds them."""
        return self.host.rows_of_files() if self.files else {}
