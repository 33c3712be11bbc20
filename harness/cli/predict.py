"""``harness predict``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Unpack

import click

from harness.api.predict import PredictOptions, predict
from harness.cli.notes import note


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", metavar="LABEL", help="The model, where several of the run can predict.")
@click.option("--stratum", metavar="200x", help="Of images of which the data set does not know it.")
@click.option("--groups", is_flag=True, help="A row a group instead, such as an accession, or a folder.")
@click.option("--device", metavar="auto|cpu|cuda[:N]", default="auto", show_default=True, help="Where to compute.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the run's images, if it has moved.")
@click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file that the run was given."
)
@click.option("--json", "as_json", is_flag=True, help="For programs, with what every cell says.")
def command(
    run: Path, images: tuple[Path, ...], *, groups: bool, as_json: bool, **options: Unpack[PredictOptions]
) -> None:
    """Say what a kept model makes of IMAGES: files, and folders of them.

    RUN is a run folder, whose cells are averaged, or the folder of one cell. An image of the run itself is predicted
    only by cells that tested it. The table is CSV.
    """
    found = predict(run, images, note, **options)
    table = found.groups if groups else found.images
    if not as_json:
        click.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
        return
    answer = {
        "schema_version": 1,
        "model": found.model,
        "groups" if groups else "images": table.to_dict("records"),
        "by_cell": found.by_cell.to_dict("records"),
    }
    click.echo(json.dumps(answer, indent=1))
