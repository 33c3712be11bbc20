"""A new plugin: one file, or a package with tests, README and a workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

from harness.durable import write_text
from harness.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 60


@dataclass(frozen=True)
class PluginName:
    """What a new plugin is called.

    Attributes:
        model: What configs call the model; the distribution's name too.
    """

    model: str

    @property
    def module(self) -> str:
        """Of the package that is imported."""
        return self.model.replace("-", "_")

    @property
    def type(self) -> str:
        """Of the class."""
        return "".join(part.capitalize() for part in self.model.split("-"))


def parse_name(text: str) -> PluginName:
    """Return the name of a plugin.

    Raises:
        UsageError: It cannot be one of a distribution, a module and a class alike.
    """
    if not _NAME.fullmatch(text) or len(text) > _LONGEST:
        raise UsageError(
            f"'{text[:60]}' cannot name a plugin - take small letters and digits, dashes between, such as my-network"
        )
    return PluginName(text)


def write_plugin_file(name: PluginName, folder: Path) -> list[Path]:
    """Write a plugin of one file, ``<module>.py``.

    Raises:
        UsageError: There is such a file already.
    """
    return _write({folder / f"{name.module}.py": "model.py"}, name)


def write_plugin_package(name: PluginName, folder: Path) -> list[Path]:
    """Write a package with an entry point, in a folder of the plugin's name.

    Raises:
        UsageError: There is such a folder already.
    """
    root = folder / name.model
    if root.exists():
        raise UsageError(f"{root} is there already - choose another name, or move it away")
    templates = {
        root / "pyproject.toml": "pyproject.toml",
        root / "README.md": "README.md",
        root / ".gitignore": "gitignore",
        root / name.module / "__init__.py": "init.py",
        root / name.module / "model.py": "model.py",
        root / "tests" / f"test_{name.module}.py": "test.py",
        root / ".github" / "workflows" / "check.yml": "check.yml",
    }
    return _write(templates, name)


def _write(templates: dict[Path, str], name: PluginName) -> list[Path]:
    for file in templates:
        if file.exists():
            raise UsageError(f"{file} is there already - choose another name, or move it away")
    values = {"name": name.model, "module": name.module, "type": name.type, "harness": version("breakhis-harness")}
    for file, content in _rendered(templates, values):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, content)
    return list(templates)


def _rendered(templates: dict[Path, str], values: dict[str, str]) -> Iterator[tuple[Path, str]]:
    environment = Environment(
        loader=FunctionLoader(_template),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        variable_start_string="<<",
        variable_end_string=">>",
        autoescape=False,  # noqa: S701 - code and configs, from a name that was checked
    )
    for file, template in templates.items():
        yield file, environment.get_template(template).render(values)


def _template(name: str) -> str:
    return resources.files(__package__).joinpath("templates", f"{name}.jinja").read_text(encoding="utf-8")
