"""``harness tables``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UsageError
from harness.execution.store import RunStore
from harness.reporting.publish import publish
from harness.reporting.study import publish_study, study_runs
from harness.reporting.table import FORMATS, Format, render
from harness.reporting.tables import TABLES


@click.command("tables")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--table", "which", type=click.Choice([*map(str, TABLES), "all"]), default="all", show_default=True)
@click.option("--format", "how", type=click.Choice(FORMATS), default="md", show_default=True)
def command(run: Path, which: str, how: Format) -> None:
    """Print the tables of a RUN folder, and write them and the figures into it anew.

    Of a study of several protocols, the table across them.
    """
    if study_runs(run):
        if which != "all":
            raise UsageError(f"{run} holds a study, which has one table - ask one of its runs: {run}/<protocol>")
        click.echo(render(publish_study(run), how), nl=False)
        return
    tables = publish(RunStore(run))
    numbers = tables if which == "all" else [int(which)]
    click.echo("\n".join(render(tables[number], how) for number in numbers), nl=False)
