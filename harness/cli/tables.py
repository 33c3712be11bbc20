"""``harness tables``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UsageError
from harness.reporting.paper_tables import TABLES
from harness.reporting.publish import publish
from harness.reporting.study import publish_study
from harness.reporting.table import FORMATS, Format, render
from harness.store.run_store import RunStore
from harness.store.study import read_study


@click.command("tables")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--table", "which", type=click.Choice([*map(str, TABLES), "all"]), default="all", show_default=True)
@click.option("--format", "how", type=click.Choice(FORMATS), default="md", show_default=True)
def command(run: Path, which: str, how: Format) -> None:
    """Print the tables of a RUN folder, and write them and the figures into it anew.

    Of a study, the table across its runs.
    """
    if study := read_study(run):
        if which != "all":
            runs = ", ".join(map(str, study.runs.values()))
            raise UsageError(f"{run} holds a study, which has one table - ask one of its runs: {runs}")
        click.echo(render(publish_study(study)[1], how), nl=False)
        return
    tables = publish(RunStore(run))
    numbers = tables if which == "all" else [int(which)]
    click.echo("\n".join(render(tables[number], how) for number in numbers), nl=False)
