"""``harness score``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.api.score import score
from harness.cli.display import Display
from harness.reporting.run_tables import PRINTED
from harness.reporting.table import render


@click.command("score")
@click.argument("predictions", type=click.Path(path_type=Path))
@click.argument("config")
@click.option("--name", help="Of the row, which is called scored:NAME.  [default: the file's name]")
@click.option("-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as seeds=[0,1].")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: $HARNESS_RESULTS/<config>]")
def command(
    predictions: Path, config: str, name: str | None, overrides: tuple[str, ...], data: Path | None, out: Path | None
) -> None:
    """Make PREDICTIONS of the test images, made elsewhere, a row of the run of CONFIG.

    PREDICTIONS is a CSV file with the columns image, fold, seed and p_CLASS of each class, every test image once a fold
    and seed. The run folder may hold a run already; the row is held to the same division, and has no cost.
    """
    with Display() as display:
        tables = score(predictions, config, display, name=name, overrides=overrides, data=data, out=out)
    click.echo("\n".join(render(tables[table], "md") for table in PRINTED), nl=False)
