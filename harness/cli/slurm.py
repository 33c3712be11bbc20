"""``harness slurm``."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from harness.api.runs import RunOptions
from harness.api.slurm import slurm_script
from harness.cli.display import Display
from harness.cli.run import read_labels


@click.command("slurm")
@click.argument("config")
@click.option("--shards", type=click.IntRange(1, 100_000), required=True, help="How many parts of the run.")
@click.option("-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as schedule.epochs=20.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder of the whole.")
@click.option("--models", metavar="A,B", callback=read_labels, help="Only these models, of the config or installed.")
@click.option("--device", metavar="auto|cpu|cuda[:N]", help="Where to train.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Cells at once in a shard.")
@click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file; its models run."
)
@click.option("--limit", type=click.IntRange(1), help="Images per class and side; results are not comparable.")
def command(config: str, shards: int, **options: Unpack[RunOptions]) -> None:
    """Print a script that submits CONFIG to SLURM in shards, and their merge.

    Time, memory and GPU are those of an estimate, and what the shards hold to is settled: call it on a machine like
    those that will compute. Partition and account are sbatch's own variables, SBATCH_PARTITION and SBATCH_ACCOUNT.
    """
    with Display() as display:
        script = slurm_script(config, shards, display, **options)
    click.echo(script, nl=False)
