"""``harness run``."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack, get_args

import click

from harness.api.runs import RunOptions, RunResult, estimate, run
from harness.cli.display import Display
from harness.execution.executor import ExecutorName
from harness.execution.outcome import Outcome
from harness.reporting.run_tables import PRINTED, TABLES
from harness.reporting.table import render
from harness.store.run_store import TRACEBACK
from harness.text import printable


def _jobs(_context: click.Context, _option: click.Parameter, given: str) -> int | None:
    """Read ``--jobs``: None stands for ``auto``."""
    if given == "auto":
        return None
    if not given.isdecimal() or int(given) < 1:
        raise click.BadParameter(f"{given} is neither a number of cells nor auto")
    return int(given)


def read_labels(_context: click.Context, _option: click.Parameter, given: str | None) -> list[str] | None:
    """Read ``--models``: labels with commas between them."""
    return [label.strip() for label in given.split(",")] if given else None


@click.command("run")
@click.argument("config")
@click.option("-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as schedule.epochs=20.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: $HARNESS_RESULTS/<config>]")
@click.option("--models", metavar="A,B", callback=read_labels, help="Only these models, of the config or installed.")
@click.option("--device", metavar="auto|cpu|cuda[:N]", help="Where to train.")
@click.option("--jobs", metavar="N|auto", default="1", show_default=True, callback=_jobs, help="Cells at once.")
@click.option(
    "--executor",
    type=click.Choice(get_args(ExecutorName)),
    default="local",
    show_default=True,
    help="What runs the cells.",
)
@click.option(
    "--ray-address",
    metavar="auto|HOST:PORT|local",
    help="The Ray cluster; local starts one for this run.  [default: auto]",
)
@click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file; its models run."
)
@click.option(
    "--observer",
    "observers",
    multiple=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="Have an observer watch the run, such as mlflow or tensorboard.",
)
@click.option("--shard", metavar="I/N", help="Only this part of the cells, as 2/4, into a run folder of its own.")
@click.option("--limit", type=click.IntRange(1), help="Images per class and side; results are not comparable.")
@click.option("--fresh", is_flag=True, help="Move the run's old cells aside first.")
@click.option("--wait", is_flag=True, help="Wait for another process that is at work in the run folder.")
@click.option("--dry-run", is_flag=True, help="Print cells, memory and an estimate of time; train nothing.")
def command(config: str, *, dry_run: bool, **options: Unpack[RunOptions]) -> int:
    """Train and evaluate every model of CONFIG: a path, or the name of a shipped config.

    An interrupted run goes on where it stopped. Tables go to standard output, progress to standard error.
    """
    if dry_run:
        from harness.execution.estimate import render_estimate  # noqa: PLC0415 - torch, for an estimate

        with Display() as display:
            estimates = estimate(config, display, **options)
        for folder, found in estimates.items():
            click.echo(f"{folder.name}\n{render_estimate(found)}", nl=False)
        return 0
    with Display() as display:
        result = run(config, display, **options)
    printed = [table for name, table in result.tables.items() if name in PRINTED or name not in TABLES]
    click.echo("\n".join(render(table, "md") for table in printed), nl=False)
    return _report(result)


def _report(result: RunResult) -> int:
    for folder, outcome in result.outcomes.items():
        _report_run(folder, outcome)
        if result.tables and (outcome.computed or outcome.kept):
            click.echo(f"tables and figures: {folder / 'tables'}, {folder / 'figures'}", err=True)
    return 1 if result.failures else 0


def _report_run(folder: Path, outcome: Outcome) -> None:
    click.echo(
        f"{outcome.computed} cells computed, {outcome.kept} kept, {len(outcome.failures)} failed: {folder}",
        err=True,
    )
    if outcome.failures:
        click.echo(f"what went wrong, line by line: {folder}/cells/CELL/{TRACEBACK}", err=True)
    for message in outcome.failure_messages():
        click.echo(printable(f"failed: {message}"), err=True)
