"""The hooks of the harness. They register things; none is called while a run is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pluggy

if TYPE_CHECKING:  # torch: whoever lists the images of a data set does without
    from harness.plugin_api.data_set import DataSet
    from harness.plugin_api.model import Model
    from harness.plugin_api.run_observer import RunObserver

PROJECT = "harness"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Register: TypeAlias = "Callable[[type[Model]], None]"
RegisterObserver: TypeAlias = "Callable[[type[RunObserver]], None]"
RegisterDataSet: TypeAlias = "Callable[[type[DataSet]], None]"


@hookspec
def harness_register_models(register: Register) -> None:
    """Called once when the command starts, for each plugin, before any config is read.

    Call ``register`` with each :class:`~harness.Model` class that the plugin offers.

    Args:
        register: Takes a model class; refuses a class without a name, and a name that is taken.
    """


@hookspec
def harness_register_observers(register: RegisterObserver) -> None:
    """Called once when the command starts, for each plugin, before any config is read.

    Call ``register`` with each :class:`~harness.RunObserver` class that the plugin offers. A run is watched by those
    that the user names.

    Args:
        register: Takes an observer class; refuses a class without a name, and a name that is taken.
    """


@hookspec
def harness_register_data_sets(register: RegisterDataSet) -> None:
    """Called once when the command starts, for each plugin, before any config is read.

    Call ``register`` with each :class:`~harness.DataSet` class that the plugin offers. It is asked for its images in a
    process of its own.

    Args:
        register: Takes a data set class; refuses a class without a name, classes or groups, and a name that is taken.
    """
