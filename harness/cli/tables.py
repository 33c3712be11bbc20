"""``harness tables``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from harness.cache import Cache
from harness.errors import UsageError
from harness.locations import cache_folder
from harness.reporting.publish import publish
from harness.reporting.run_tables import PAPERS, TABLES, find_table
from harness.reporting.study import publish_study
from harness.reporting.table import FORMATS, Format, render
from harness.store.run_store import RunStore
from harness.store.study import read_study


def _cache() -> Cache:
    return Cache(cache_folder(), partial(click.echo, err=True))


@click.command("tables")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--table",
    "which",
    metavar="NAME",
    help=f"One of {', '.join(TABLES)} (in the data set's words: accessions, slides), or all.  [default: the paper's]",
)
@click.option("--format", "how", type=click.Choice(FORMATS), default="md", show_default=True)
def command(run: Path, which: str | None, how: Format) -> None:
    """Print the tables of a RUN folder, and write them and the figures into it anew.

    Of a study, the table across its runs.
    """
    if study := read_study(run):
        if which not in {None, "all"}:
            runs = ", ".join(map(str, study.runs.values()))
            raise UsageError(f"{run} holds a study, which has one table - ask one of its runs: {runs}")
        click.echo(render(publish_study(study, _cache())[1], how), nl=False)
        return
    tables = publish(RunStore(run), _cache())
    if which is None:
        shown = [tables[name] for name in PAPERS]
    else:
        shown = list(tables.values()) if which == "all" else [find_table(which, tables)]
    click.echo("\n".join(render(table, how) for table in shown), nl=False)
