"""Sphinx directives that write the reference from the code, such as config keys, commands and columns."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click
import pyarrow as pa
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import harness
from harness.cli.main import cli
from harness.config.run_config import RunConfig
from harness.errors import HarnessError
from harness.plugin_api.description import meanings_of
from harness.plugin_api.discovery import discover
from harness.plugin_api.model import Model
from harness.settings import Settings
from harness.store import columns

_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
T = TypeVar("T")
_ROLE = re.compile(r":[\w:]+:`~?([^`]+)`")


class CodeReference(SphinxDirective):
    """A directive whose content is the Markdown that the writer of its name makes of the code."""

    def run(self) -> list[nodes.Node]:
        """Return the content as nodes."""
        self.env.note_reread()  # the code may have changed where the page has not
        return self.parse_text_to_nodes(_WRITERS[self.name](), allow_section_headings=True)


class Columns(SphinxDirective):
    """The columns of a table of :mod:`harness.store.columns`, whose name is the argument.

    The content says what each column means, ``name: meaning`` a line; the types are the code's.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the table as nodes.

        Raises:
            ExtensionError: Columns and meanings are not the same.
        """
        self.env.note_reread()
        (name,) = self.arguments
        schema: pa.Schema = columns.predictions_schema(["CLASS"]) if name == "PREDICTIONS" else getattr(columns, name)
        meanings = dict(line.split(": ", 1) for line in self.content if line.strip())
        if list(meanings) != schema.names:
            raise self.error(f"meanings of {list(meanings)} for the columns {schema.names}")
        rows = [
            (f"`{field.name}`", f"{field.type}{', may be empty' if field.nullable else ''}", meanings[field.name])
            for field in schema
        ]
        return self.parse_text_to_nodes(_table(("column", "type", "meaning"), rows))


def write_config_keys() -> str:
    """Return every key of a config, a section a mapping: type, default, meaning."""
    schema = RunConfig.model_json_schema()
    kinds = {kind.__name__: kind for kind in _subclasses(Settings)}
    parts = ["## Top level", _keys_table(RunConfig)]
    for path, name in _nested(schema["properties"], schema["$defs"]):
        parts += [f"## {path}", _first_sentence(kinds[name]), _keys_table(kinds[name])]
    return "\n\n".join(parts)


def write_commands() -> str:
    """Return every command with its usage, options and help."""
    return "\n\n".join(part for command in _leaves(cli, "harness") for part in _command(*command))


def write_model_options() -> str:
    """Return the options of every model that the package brings, a section a model."""
    found = (model for _, model in sorted(discover().models.items()))
    shipped = (model for model in found if model.distribution.startswith("breakhis-harness "))
    return "\n\n".join(part for registered in shipped for part in _options(registered.model))


def write_exit_codes() -> str:
    """Return the errors by exit code."""
    errors: list[type[HarnessError]] = sorted(
        [HarnessError, *_subclasses(HarnessError)], key=lambda error: error.exit_code
    )
    rows = [(f"{error.exit_code}", f"`{error.__name__}`", _first_sentence(error)) for error in errors]
    return _table(("exit code", "error", "what it says"), rows)


def write_public_names() -> str:
    """Return what ``import harness`` gives: classes first, then functions."""
    public = [(name, getattr(harness, name)) for name in harness.__all__]
    classes = [
        f".. autoclass:: harness.{name}\n   :members:\n   :exclude-members: Options"
        for name, value in public
        if inspect.isclass(value)
    ]
    functions = [f".. autofunction:: harness.{name}" for name, value in public if inspect.isfunction(value)]
    return "\n\n".join(["## Classes", *map(_as_rst, classes), "## Functions", *map(_as_rst, functions)])


_WRITERS: dict[str, Callable[[], str]] = {
    "config-keys": write_config_keys,
    "commands": write_commands,
    "model-options": write_model_options,
    "exit-codes": write_exit_codes,
    "public-names": write_public_names,
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives to Sphinx."""
    app.add_directive("columns", Columns)
    for name in _WRITERS:
        app.add_directive(name, CodeReference)
    return {"parallel_read_safe": True}


def _nested(properties: dict[str, Any], definitions: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Give the dotted path and the class of every mapping of known keys in a schema."""
    for key, value in properties.items():
        for step, name in _references(value):
            path = f"{above}{key}{step}"
            yield path, name
            yield from _nested(definitions[name]["properties"], definitions, f"{path}.")


def _references(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the classes that a key leads to, with the step to them: none, or a name that the config chooses."""
    if "$ref" in schema:
        yield "", schema["$ref"].rpartition("/")[2]
    for choice in schema.get("anyOf", ()):
        yield from _references(choice)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from ((f".NAME{step}", name) for step, name in _references(schema["additionalProperties"]))


def _keys_table(kind: type[Settings]) -> str:
    schema = kind.model_json_schema()
    meanings: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        meanings |= meanings_of(base.__doc__ or "")
    definitions = schema.get("$defs", {})
    rows = [
        (f"`{key}`", meanings[key], _type(value), _default(value, definitions))
        for key, value in schema["properties"].items()
    ]
    return _table(("key", "meaning", "value", "default"), rows)


def _type(schema: dict[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema or any(_references(schema)):
        return "mapping"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    kind = schema.get("format") or {"object": "mapping"}.get(schema.get("type", ""), schema.get("type", "anything"))
    bounds = [f"{words} {schema[bound]:,}" for bound, words in _BOUNDS.items() if bound in schema]
    return " ".join([kind, " and ".join(bounds)]).strip()


def _default(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a default as a config writes it; of a mapping, what is not the mapping's own default."""
    if "default" not in schema:
        return "" if schema.get("type") == "object" else "required"
    value = schema["default"]
    if isinstance(value, dict):
        own: dict[str, Any] = {}
        for _, name in _references(schema):
            own |= definitions[name]["properties"]
        value = {key: given for key, given in value.items() if own.get(key, {}).get("default") != given}
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _leaves(
    command: click.Command, name: str, above: click.Context | None = None
) -> Iterator[tuple[str, click.Context]]:
    """Give the commands that do something, each with its whole name."""
    context = click.Context(command, info_name=name, parent=above)
    if not isinstance(command, click.Group):
        yield context.command_path, context
        return
    for below in command.list_commands(context):
        found = command.get_command(context, below)
        assert found is not None, below
        yield from _leaves(found, below, context)


def _command(name: str, context: click.Context) -> Iterator[str]:
    command = context.command
    yield f"## {name}"
    yield f"```text\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```"
    yield inspect.cleandoc(command.help or "")
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    if options := [(f"`{option}`", words) for option, words in records if words]:
        yield _table(("option", "what it does"), options)


def _options(model: type[Model]) -> Iterator[str]:
    yield f"## {model.name}"
    yield _first_sentence(model)
    yield _keys_table(model.Options) if model.Options.model_fields else "No options."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(map(_cell, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Return a text as Markdown in a cell of a table."""
    text = _ROLE.sub(r"`\1`", " ".join(text.split()))
    code = re.split(r"(`[^`]*`+)", text.replace("``", "`").replace("|", r"\|"))
    return "".join(part if part.startswith("`") else part.replace("<", r"\<").replace("*", r"\*") for part in code)


def _first_sentence(kind: type) -> str:
    return _ROLE.sub(r"`\1`", (inspect.getdoc(kind) or "").partition("\n\n")[0])


def _as_rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```"


def _subclasses(kind: type[T]) -> Iterator[type[T]]:
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)
