"""``harness status``."""

from __future__ import annotations

import json
from pathlib import Path

import click
from tabulate import tabulate

from harness.planning.status import RunStatus, read_status
from harness.reporting.provenance import read_provenance
from harness.store.run_folder import RunFolder
from harness.store.study import read_study
from harness.text import duration, printable


@click.command("status")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--provenance", is_flag=True, help="Where each model's weights come from, stage by stage, instead.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: Path, *, provenance: bool, as_json: bool) -> None:
    """Say what of a RUN is done, running, failed or stale and why, and what is left.

    Of a study, run by run.
    """
    if provenance:
        _print_provenance(run, as_json=as_json)
        return
    study = read_study(run)
    if study is None:
        status = read_status(RunFolder(run))
        click.echo(json.dumps(status.to_json(), indent=1) if as_json else _render(status))
        return
    stores = {name: RunFolder(folder) for name, folder in study.runs.items()}
    begun = {name: read_status(store) for name, store in stores.items() if (store.folder / "run.json").is_file()}
    if as_json:
        click.echo(json.dumps({name: status.to_json() for name, status in begun.items()}, indent=1))
        return
    for name in stores:
        click.echo(f"{name}: {_render(begun[name]) if name in begun else 'not begun'}")


def _print_provenance(run: Path, *, as_json: bool) -> None:
    study = read_study(run)
    folders = study.runs if study else {".": run}
    stores = {name: RunFolder(folder) for name, folder in folders.items()}
    chains = {name: read_provenance(store) for name, store in stores.items()}
    if as_json:
        click.echo(json.dumps(chains if study else chains["."], indent=1))
        return
    for name, models in chains.items():
        for label, found in models.items():
            click.echo(label if name == "." else f"{name}: {label}")
            for chain in found:
                steps = "".join(f"\n    {printable(step)}" for step in chain["steps"]) or "\n    from scratch"
                message = "".join(f"\n    after {stage}: {_inspected(of)}" for stage, of in chain["inspection"].items())
                click.echo(f"  {chain['cells']} cells{steps}{message}")


def _inspected(numbers: dict[str, float]) -> str:
    return printable(", ".join(f"{name} {value:.4f}" for name, value in numbers.items()))


def _render(status: RunStatus) -> str:
    rows = [[row.cell, row.state, printable(row.detail)] for row in status.rows if row.state != "done"]
    heads = ["cell", "state", "why, or how far"]
    table = tabulate(rows, headers=heads, tablefmt="simple", disable_numparse=True) + "\n\n" if rows else ""
    counts = ", ".join(f"{number} {state}" for state, number in status.counts.items())
    left = f"\nabout {duration(status.seconds_left)} left, one cell at a time" if status.seconds_left else ""
    return f"{table}{counts}{left}"
