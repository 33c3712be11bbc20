"""``harness status``."""

from __future__ import annotations

import json
from pathlib import Path

import click
from tabulate import tabulate

from harness.execution.status import RunStatus, read_status
from harness.execution.store import RunStore
from harness.plugin_api.discovery import discover
from harness.reporting.study import study_runs
from harness.text import duration, printable


@click.command("status")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: Path, *, as_json: bool) -> None:
    """Say what of a RUN is done, running, failed or stale and why, and what is left.

    Of a study of several protocols, protocol by protocol.
    """
    host, stores = discover(), study_runs(run)
    if not stores:
        status = read_status(RunStore(run), host)
        click.echo(json.dumps(status.to_json(), indent=1) if as_json else _render(status))
        return
    begun = {name: read_status(store, host) for name, store in stores.items() if (store.folder / "run.json").is_file()}
    if as_json:
        click.echo(json.dumps({name: status.to_json() for name, status in begun.items()}, indent=1))
        return
    for name in stores:
        click.echo(f"{name}: {_render(begun[name]) if name in begun else 'not begun'}")


def _render(status: RunStatus) -> str:
    rows = [[row.cell, row.state, printable(row.detail)] for row in status.rows if row.state != "done"]
    heads = ["cell", "state", "why, or how far"]
    table = tabulate(rows, headers=heads, tablefmt="simple", disable_numparse=True) + "\n\n" if rows else ""
    counts = ", ".join(f"{number} {state}" for state, number in status.counts.items())
    left = f"\nabout {duration(status.seconds_left)} left, one cell at a time" if status.seconds_left else ""
    return f"{table}{counts}{left}"
