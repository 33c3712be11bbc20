"""``harness explain``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.api.explain import explain
from harness.cli.notes import note
from harness.store.explanations import FOLDER
from harness.text import printable


@click.command("explain")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--models", metavar="A,B", help="Only these models of the run.")
@click.option("--device", metavar="auto|cpu|cuda[:N]", default="auto", show_default=True, help="Where to compute.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the run's images, if it has moved.")
@click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file that the run was given."
)
def command(run: Path, models: str | None, device: str, data: Path | None, plugins: tuple[Path, ...]) -> int:
    """Compute what the networks of a RUN folder look at, in the images that its report shows.

    The overlays (Grad-CAM) are kept in RUN/explanations; those that are there are not computed again.
    """
    labels = [label.strip() for label in models.split(",")] if models else None
    found = explain(run, labels, device, note, data=data, plugins=plugins)
    click.echo(f"{found.computed} overlays computed, {found.kept} kept: {run / FOLDER}", err=True)
    for label, reason in found.skipped.items():
        click.echo(printable(f"skipped: {label}: {reason}"), err=True)
    for name, reason in found.failures.items():
        click.echo(printable(f"failed: {name}: {reason}"), err=True)
    return 1 if found.failures else 0
