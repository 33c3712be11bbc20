"""``harness plugins``."""

from __future__ import annotations

import inspect
from pathlib import Path

import click
from tabulate import tabulate

from harness.errors import PluginError
from harness.plugin_api.discovery import discover
from harness.text import printable


@click.group("plugins")
def command() -> None:
    """List the models that can be used."""


@command.command("list")
@click.option(
    "--plugin", "files", multiple=True, type=click.Path(path_type=Path), help="A plugin file to load as well."
)
def list_plugins(files: tuple[Path, ...]) -> None:
    """List every model, where it comes from, the plugins that could not be loaded and why, and names claimed twice."""
    host = discover(files)
    rows = [
        [*map(printable, (name, registered.distribution, (inspect.getdoc(registered.model) or "").partition("\n")[0]))]
        for name, registered in host.models.items()
    ]
    click.echo(tabulate(rows, headers=["model", "from", ""], tablefmt="simple", disable_numparse=True))
    if troubles := host.troubles():
        raise PluginError("; ".join(troubles))
