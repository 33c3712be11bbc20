"""``harness compare``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.api.results import compare
from harness.reporting.comparison import Margins, comparison_table
from harness.reporting.table import render


@click.command("compare")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--fail-on-regression", is_flag=True, help="End with exit code 1 if anything got worse.")
@click.option(
    "--margin", type=click.FloatRange(0, 1), default=0.02, show_default=True, help="Accuracy that does not matter."
)
@click.option(
    "--cost-margin",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Convergence cost that does not matter, relative.",
)
@click.option("--models", metavar="A,B", help="Only these models.")
@click.option("--all", "whole", is_flag=True, help="Show what has not changed as well.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(
    base: Path, new: Path, models: str | None, *, fail_on_regression: bool, as_json: bool, whole: bool, **margins: float
) -> int:
    """Say what got better or worse from run folder BASE to run folder NEW, in Markdown.

    Both must be runs of one comparison: the same images, splits, pixels, schedule, device type.
    """
    wanted = [label.strip() for label in models.split(",")] if models else None
    comparison = compare(base, new, Margins(margins["margin"], margins["cost_margin"]), wanted)
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=1, allow_nan=False))
    else:
        click.echo(render(comparison_table(comparison, whole=whole), "md"), nl=False)
    return 1 if fail_on_regression and comparison.regressions else 0
