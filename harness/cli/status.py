"""``harness status``."""

from __future__ import annotations

import json
from pathlib import Path

import click
from tabulate import tabulate

from harness.execution.status import read_status
from harness.execution.store import RunStore
from harness.plugin_api.discovery import discover
from harness.text import duration


@click.command("status")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: Path, *, as_json: bool) -> None:
    """Say what of a RUN is done, running, failed or stale and why, and what is left."""
    status = read_status(RunStore(run), discover())
    if as_json:
        click.echo(json.dumps(status.to_json(), indent=1))
        return
    rows = [[row.cell, row.state, row.detail] for row in status.rows if row.state != "done"]
    if rows:
        click.echo(
            tabulate(rows, headers=["cell", "state", "why, or how far"], tablefmt="simple", disable_numparse=True)
            + "\n"
        )
    click.echo(", ".join(f"{number} {state}" for state, number in status.counts.items()))
    if status.seconds_left:
        click.echo(f"about {duration(status.seconds_left)} left, one cell at a time")
