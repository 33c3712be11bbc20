"""Where a plugin is, and its import."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from harness.errors import PluginError


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
class ModelReference:
    """A model by the name that its plugin registers.

    Attributes:
        plugin: Where the plugin is.
        name: Of the model.
    """

    plugin: PluginReference
    name: str


def import_plugin(reference: PluginReference) -> ModuleType:
    """Import a plugin's module.

    Raises:
        PluginError: Its file is missing, or no Python file; whatever else its code raises comes through.
    """
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
