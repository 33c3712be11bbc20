"""``harness plugins``."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tabulate import tabulate

from harness.config.overrides import parse_override, set_key
from harness.errors import PluginError, UsageError, did_you_mean
from harness.plugin_api.description import ModelDescription, OptionDescription, describe_model
from harness.plugin_api.discovery import discover
from harness.text import printable

if TYPE_CHECKING:
    from harness.testing.outcomes import Check, CheckResult

_WIDTH = 100
_file_option = click.option(
    "--plugin", "files", multiple=True, type=click.Path(path_type=Path), help="A plugin file to load as well."
)


@click.group("plugins")
def command() -> None:
    """List, show and check the models that can be used, and list observers and data sets."""


@command.command("list")
@_file_option
def list_plugins(files: tuple[Path, ...]) -> None:
    """List every model, observer and data set and its origin, what could not be loaded, names claimed twice."""
    host = discover(files)
    models = [_row(name, found.distribution, found.model) for name, found in host.models.items()]
    observers = [
        _row(name, found.distribution, found.observer)
        for name, claims in host.observers.items()
        for found in (claims if len(claims) == 1 else ())
    ]
    click.echo(_table("model", models))
    if observers:
        click.echo(f"\n{_table('observer', observers)}")
    data_sets = [_row(name, distribution, kind) for name, (kind, distribution) in host.data_sets.items()]
    if data_sets:
        click.echo(f"\n{_table('data set', data_sets)}")
    if troubles := host.troubles():
        raise PluginError("; ".join(troubles))


@command.command("show")
@click.argument("name")
@_file_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show(name: str, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Show a model: what it is, where it comes from, what it needs, its options with defaults and meaning."""
    found = describe_model(discover(files).find(name))
    click.echo(json.dumps(found.to_json(), indent=1, default=str) if as_json else _render(found))


@command.command("new")
@click.argument("name")
@click.option("--file", "as_file", is_flag=True, help="One file instead of a package.")
@click.option("--in", "folder", type=click.Path(path_type=Path), default=Path(), help="Where.  [default: here]")
def new(name: str, folder: Path, *, as_file: bool) -> None:
    """Write the beginning of a plugin of one model: a package with tests and a workflow, or a single file."""
    from harness.scaffold.plugin import parse_name, write_plugin_file, write_plugin_package  # noqa: PLC0415 - jinja2

    parsed = parse_name(name)
    written = write_plugin_file(parsed, folder) if as_file else write_plugin_package(parsed, folder)
    for file in written:
        click.echo(file)
    hint = (
        f"harness plugins check {written[0]}"
        if as_file
        else f"pip install -e '{folder / name}[test]' && pytest {folder / name}"
    )
    click.echo(f"next: {hint}", err=True)


@command.command("check")
@click.argument("model")
@click.option("-o", "options", multiple=True, metavar="KEY=VALUE", help="An option of the model.")
@click.option("--expect", "expected", multiple=True, metavar="CHECK=REASON", help="A check that is known to fail.")
@click.option("--only", metavar="A,B", help="Only these checks.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(model: str, options: tuple[str, ...], expected: tuple[str, ...], only: str | None, *, as_json: bool) -> int:
    """Check what the harness relies on in MODEL: the name of an installed one, or a plugin file.

    It is fitted a few times on easy images. Exit code 1 if a check fails that is not expected to.
    """
    from harness.testing.cases import registered_models  # noqa: PLC0415 - torch, for whoever checks
    from harness.testing.outcomes import run_checks  # noqa: PLC0415
    from harness.testing.subject import Subject  # noqa: PLC0415

    reasons = dict(_pair(one) for one in expected)
    checks = _chosen_checks(only, reasons)
    given = _options_of(options)
    found: dict[str, list[CheckResult]] = {}
    models = registered_models(model)
    if not models:
        raise UsageError(f"{model} registers no model, so there is nothing to check")
    for registered in models:
        found[registered.model.name] = results = []
        for result in run_checks(Subject(registered, given), checks, reasons):
            results.append(result)
            if not as_json:
                click.echo(_result_line(registered.model.name, result))
    if as_json:
        content = {name: [result.to_json() for result in results] for name, results in found.items()}
        ran = sum(result.state != "skipped" for results in found.values() for result in results)
        click.echo(json.dumps({"schema_version": 1, "ran": ran, "models": content}, indent=1))
    return 1 if any(result.is_trouble for results in found.values() for result in results) else 0


def _row(name: str, distribution: str, kind: type) -> list[str]:
    return [*map(printable, (name, distribution, (inspect.getdoc(kind) or "").partition("\n")[0]))]


def _table(head: str, rows: list[list[str]]) -> str:
    return tabulate(rows, headers=[head, "from", ""], tablefmt="simple", disable_numparse=True)


def _chosen_checks(only: str | None, reasons: Mapping[str, str]) -> Mapping[str, Check]:
    from harness.testing.checks import CHECKS  # noqa: PLC0415 - torch, for whoever checks

    names = [name.strip() for name in only.split(",")] if only else list(CHECKS)
    for name in [*names, *reasons]:
        if name not in CHECKS:
            raise UsageError(f"no check '{name}'{did_you_mean(name, CHECKS)} (they are {', '.join(CHECKS)})")
    return {name: CHECKS[name] for name in names}


def _pair(text: str) -> tuple[str, str]:
    name, sign, rest = text.partition("=")
    if not sign:
        raise UsageError(f"'{text}' is not of the form NAME=...")
    return name, rest


def _options_of(given: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for one in given:
        key, value = parse_override(one)
        set_key(values, key, value)
    return values


def _result_line(model: str, result: CheckResult) -> str:
    marks = {"passed": "ok", "failed": "FAILED", "expected": "failed as expected", "unexpected pass": "PASSED"}
    line = f"{model}  {result.check}: {marks.get(result.state, result.state)} ({result.seconds:.1f} s)"
    words = [printable(part) for part in result.words.splitlines()]
    return "\n".join([line, *(f"    {part.strip()}" for part in words)])


def _render(model: ModelDescription) -> str:
    needs = ["an option without a default"] if model.sources is None else list(model.sources)
    facts = [
        ("from", f"{model.distribution}, {model.file}"),
        ("reproduces", model.reproduces),
        ("shortcut", "looks at a property of the picture and at no tissue" if model.is_shortcut else None),
        ("needs", ", ".join(needs) or None),
    ]
    lines = [
        printable(f"{model.name}: {model.summary}"),
        *(f"{term}: {printable(words)}" for term, words in facts if words),
    ]
    lines += ["", "options:" if model.options else "no options"]
    return "\n".join([*lines, *(line for option in model.options for line in _option_lines(option))])


def _option_lines(option: OptionDescription) -> list[str]:
    default = "required" if option.required else f"default {json.dumps(option.default, default=str)}"
    head = f"  {option.name} ({option.type}; {default})"
    return [
        printable(head),
        *textwrap.wrap(printable(option.meaning), _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6),
    ]
