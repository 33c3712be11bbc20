"""``harness export``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from harness.api.export import export_run
from harness.reporting.export.facts import FORMATS, MEANINGS, Format, option
from harness.text import printable


def _with_facts(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every fact that a run cannot know of itself."""
    for name, meaning in reversed(list(MEANINGS.items())):
        command = click.option(option(name), name, metavar="TEXT", help=meaning)(command)
    return command


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "how", type=click.Choice([*FORMATS, "all"]), default="all", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Gets a folder for each format.")
@_with_facts
def command(run: Path, how: Format | Literal["all"], out: Path, **facts: Any) -> None:
    """Write a RUN folder in the formats that others read.

    Scores as evaluation results of the Hugging Face Hub, scores and predictions for Every Eval Ever, and who is in
    which fold as a Croissant data set. What a run cannot know, such as a licence, is asked for.
    """
    given = {name: value for name, value in facts.items() if value is not None}
    done = export_run(run, out, FORMATS if how == "all" else (how,), **given)
    for note in done.notes:
        click.echo(printable(note), err=True)
    for file in done.files:
        click.echo(printable(str(file)))
