"""``harness data``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.api.data import audit_folder, fetch_data_set, generate_images, verify_folder
from harness.cli.display import Display
from harness.config.data_settings import DEFAULT_DATA_SET
from harness.data.fetch import render_fetch
from harness.data.verify import render_report
from harness.errors import DataError
from harness.locations import data_folder
from harness.settings import parse_settings
from harness.synthetic.settings import SyntheticSettings


@click.group("data")
def command() -> None:
    """Fetch, verify, audit or generate images."""


@command.command("verify")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--set", "data_set", default=DEFAULT_DATA_SET, show_default=True, help="The data set.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(folder: Path, data_set: str, *, as_json: bool) -> None:
    """Hold the files in FOLDER against the official list: there, missing, damaged, re-encoded or renamed."""
    with Display() as display:
        message = lambda done, total: display.progress("verifying images", done, total)  # noqa: E731
        report = verify_folder(folder, message, data_set)
    click.echo(json.dumps(report.to_json(), indent=1) if as_json else render_report(report), nl=as_json)
    if report.damaged:
        raise DataError(f"{len(report.damaged)} damaged images in {folder}")


@command.command("audit")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--config", metavar="CONFIG", help="The config whose data set it is, such as a cohort of your own.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the splits that are tried.")
@click.option("--figures", type=click.Path(path_type=Path), help="Folder for pictures of whites and of stain options.")
@click.option("--json", "as_json", is_flag=True, help="For programs, with every image that was found.")
def audit(folder: Path | None, *, config: str | None, seed: int, figures: Path | None, as_json: bool) -> None:
    """Look in FOLDER for copies, odd images, splits that divide them, and shortcuts.

    It holds BreakHis or LC25000, or the data set of a config; then FOLDER may be left out.
    """
    from harness.audit.render import render_audit  # noqa: PLC0415 - scikit-learn and torch, for this command alone

    with Display() as display:
        message = lambda done, total: display.progress("looking at images", done, total)  # noqa: E731
        report = audit_folder(folder, seed, figures, config, message)
    click.echo(json.dumps(report.to_json(), indent=1) if as_json else render_audit(report), nl=as_json)
    if report.damaged:
        raise DataError(f"{len(report.damaged)} damaged images in {report.folder}")


@command.command("fetch")
@click.argument("dataset")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to put it in.  [default: $HARNESS_DATA/<dataset>]")
@click.option("--url", help="Address of the archive, instead of the public one.")
def fetch_dataset(dataset: str, out: Path | None, url: str | None) -> None:
    """Download DATASET, unpack it and check every file; an interrupted download goes on where it stopped.

    DATASET is breakhis, lc25000 or another that a plugin registers.
    """
    with Display() as display:
        report = fetch_data_set(dataset, out or data_folder() / dataset, url, _bytes(display))
    click.echo(render_fetch(report), nl=False)


@command.command("phantom")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--like", type=click.Choice(["official"]), help="One image for each of the 7,909 official names.")
@click.option("--kind", type=click.Choice(["breakhis", "lung", "natural"]), default="breakhis", show_default=True)
@click.option("--accessions", type=int, help="How many cases.  [default: 24]")
@click.option("--images", type=int, help="Images per case and stratum.  [default: 4]")
@click.option("--size", type=int, help="Height in pixels.  [default: 64]")
@click.option("--seed", type=int, help="Another seed is another set.  [default: 0]")
def phantom(folder: Path, kind: str, **wishes: Any) -> None:
    """Write generated H&E-like slides to FOLDER, in the official tree."""
    from harness.synthetic.sources import (  # noqa: PLC0415 - torch, for this command alone
        write_synthetic_lung,
        write_synthetic_natural,
    )

    given = {name: value for name, value in wishes.items() if value is not None}
    settings = parse_settings(SyntheticSettings, given, "phantom")
    with Display() as display:
        if kind == "lung":
            written = write_synthetic_lung(folder, size=settings.size, seed=settings.seed)
        elif kind == "natural":
            written = write_synthetic_natural(folder, size=settings.size, seed=settings.seed)
        else:
            message = lambda done, total: display.progress("generating images", done, total)  # noqa: E731
            written = generate_images(folder, settings, on_progress=message)
    click.echo(f"{written} images in {folder}")


def _bytes(display: Display) -> Callable[[int, int | None], None]:
    return lambda done, total: display.progress("downloading (MB)", done // 10**6, max(1, (total or done) // 10**6))
