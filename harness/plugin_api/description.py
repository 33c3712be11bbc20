"""What a model is, in words and options, for whoever wants to use it."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.plugin_api.discovery import RegisteredModel
from harness.plugin_api.model import Model
from harness.plugin_api.options import Options

_ENTRY = re.compile(r"^(\w+): (.*)$")


@dataclass(frozen=True)
class OptionDescription:
    """An option of a model.

    Attributes:
        name: As a config writes it.
        type: As its class annotates it.
        default: As JSON would write it; None with ``required``, where there is none.
        required: It has no default.
        meaning: From the docstring of the class; empty where that says nothing.
    """

    name: str
    type: str
    default: Any
    required: bool
    meaning: str


@dataclass(frozen=True)
class ModelDescription:
    """A model.

    Attributes:
        name: What a config calls it.
        summary: The first line of its docstring.
        distribution: Name and version of what it comes from, or ``file``.
        file: Where its class stands.
        reproduces: The paper's name of the network, if it reproduces one.
        is_shortcut: It looks at a property of the picture and at no tissue.
        sources: Source sets that it needs as it is by default; None where it cannot be made without an option.
        options: Its options.
    """

    name: str
    summary: str
    distribution: str
    file: str
    reproduces: str | None
    is_shortcut: bool
    sources: tuple[str, ...] | None
    options: tuple[OptionDescription, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"schema_version": 1, **asdict(self)}


def describe_model(registered: RegisteredModel) -> ModelDescription:
    """Describe a model that a plugin registers."""
    model = registered.model
    return ModelDescription(
        name=model.name,
        summary=(inspect.getdoc(model) or "").partition("\n")[0],
        distribution=registered.distribution,
        file=_file_of(model),
        reproduces=model.reproduces,
        is_shortcut=model.is_shortcut,
        sources=_sources(model),
        options=tuple(_options(model.Options)),
    )


def _options(options: type[Options]) -> list[OptionDescription]:
    meanings: dict[str, str] = {}
    for kind in reversed(options.__mro__):
        meanings |= meanings_of(kind.__doc__ or "") if issubclass(kind, Options) else {}
    return [
        OptionDescription(
            name,
            re.sub(r"\b(typing|pathlib|builtins)\.", "", inspect.formatannotation(field.annotation)),
            None if field.is_required() else _default(field.get_default(call_default_factory=True)),
            field.is_required(),
            field.description or meanings.get(name, ""),
        )
        for name, field in options.model_fields.items()
    ]


def meanings_of(docstring: str) -> dict[str, str]:
    """Read the section ``Attributes`` of a docstring in Google's style: what each means, by name."""
    _, found, section = inspect.cleandoc(docstring).partition("Attributes:\n")
    meanings: dict[str, str] = {}
    name = ""
    for line in section.splitlines() if found else []:
        if entry := _ENTRY.match(line.strip()) if line.startswith("    ") and line[4:5] != " " else None:
            name = entry[1]
            meanings[name] = entry[2]
        elif name and line.startswith("     "):
            meanings[name] += f" {line.strip()}"
        else:
            name = ""
    return meanings


def _default(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _file_of(model: type[Model]) -> str:
    try:
        return str(Path(inspect.getfile(model)))
    except (TypeError, OSError):  # made by code that stands in no file
        return ""


def _sources(model: type[Model]) -> tuple[str, ...] | None:
    """Ask a model what it needs by default; whatever keeps it from being made is said when it is used."""
    try:
        return tuple(model(model.Options()).requirements().sources)
    except Exception:  # noqa: BLE001 - a plugin's own code
        return None
