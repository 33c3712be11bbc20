"""``harness tables``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from harness.cache import Cache
from harness.errors import UsageError
from harness.locations import cache_folder
from harness.reporting.publish import publish
from harness.reporting.run_tables import PAPERS, TABLES
from harness.reporting.study import publish_study
from harness.reporting.table import FORMATS, Format, render
from harness.store.run_store import RunStore
from harness.store.study import read_study


def _cache() -> Cache:
    return Cache(cache_folder(), partial(click.echo, err=True))


@click.command("tables")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--table", "which", type=click.Choice([*TABLES, "all"]), help="Default: the paper's.")
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
    names = PAPERS if which is None else tuple(tables) if which == "all" else (which,)
    click.echo("\n".join(render(tables[name], how) for name in names), nl=False)
