"""``harness merge``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.api.merge import MergeResult, merge
from harness.cli.display import Display
from harness.reporting.run_tables import PRINTED
from harness.reporting.table import render
from harness.text import printable


@click.command("merge")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
def command(out: Path, runs: tuple[Path, ...]) -> int:
    """Put run folders of one comparison together into run folder OUT: shards of a run, or runs of different models.

    OUT may hold a run of the same comparison already; then cells are added. A cell that several folders have is taken
    once if it is the same; one that differs is named, and nothing is written (exit code 2). Where cells are missing or
    have failed, the result is partial, what is missing is named, and the exit code is 1.
    """
    with Display() as display:
        result = merge(out, runs, display)
    click.echo("\n".join(render(result.tables[name], "md") for name in PRINTED if name in result.tables), nl=False)
    for line in _lines(result):
        click.echo(printable(line), err=True)
    return 1 if result.is_partial else 0


def _lines(result: MergeResult) -> list[str]:
    lines = [f"{result.copied} cells copied, {result.kept} kept: {result.folder}"]
    if result.again:
        lines.append(f"{len(result.again)} finished cells stood in several folders, the same; each is taken once")
    if result.is_partial:
        lacking = len(result.missing) + len(result.failures)
        lines.append(f"the result is partial: {lacking} cells have no result")
        lines += [f"no run in {folder}" for folder in result.absent]
    if result.missing:
        lines += [f"shard {shard} is missing" for shard in result.missing_shards]
        lines.append(f"missing: {', '.join(result.missing)}")
    lines += [f"failed: {cell}: {reason}" for cell, reason in result.failures.items()]
    return lines
