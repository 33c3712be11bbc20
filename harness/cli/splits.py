"""``harness splits``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.api.divisions import splits
from harness.cli.notes import note
from harness.data.description import plural
from harness.errors import SplitError
from harness.planning.splits import Division, refuse_empty_sides
from harness.protocol.fingerprint import describe_splits, split_fingerprint
from harness.text import printable


@click.command("splits")
@click.argument("config")
@click.option("-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as protocol=holdout.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--json", "as_json", is_flag=True, help="For programs, with every image.")
def command(config: str, overrides: tuple[str, ...], data: Path | None, *, as_json: bool) -> None:
    """Say who is where under CONFIG, and the fingerprint of it. Leaks are shown, not refused."""
    answers: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for division in splits(config, data, overrides, note):
        notes.update(dict.fromkeys(division.notes))
        try:
            refuse_empty_sides(division, division.config.chosen_strata)
        except SplitError as error:
            notes[f"no model can be trained on this: {error}"] = None
        answer = _answer(division, with_images=as_json)
        if answer in answers:
            continue  # variants that differ in something else share their sides
        answers.append(answer)
        if not as_json:
            _print(division, answer)
    for message in notes:
        note(message)
    if as_json:
        click.echo(json.dumps(answers[0] if len(answers) == 1 else answers, indent=1))


def _answer(division: Division, *, with_images: bool) -> dict[str, Any]:
    answer = {
        "schema_version": 1,
        "protocol": division.protocol.name,
        "fingerprint": split_fingerprint(division.splits),
        "groups": int(division.images[division.protocol.level].nunique()),
        "shared_groups": division.shared_groups,
        "leaks": [str(leak) for leak in division.leaks],
        "sides": describe_splits(division.splits, division.images, division.data_set).to_dict("records"),
    }
    return {**answer, "images": division.splits.to_dict("records")} if with_images else answer


def _print(division: Division, answer: dict[str, Any]) -> None:
    click.echo(f"{division.protocol.name}: {division.protocol.title}\nfingerprint {answer['fingerprint']}\n")
    click.echo(tabulate(answer["sides"], headers="keys", tablefmt="pipe"))
    shared = f"{division.shared_groups} {plural(division.data_set.group)} on two sides"
    click.echo(f"\n{answer['groups']} groups by {division.protocol.group}; {shared}")
    for leak in division.leaks:
        click.echo(printable(f"LEAK: {leak}"))
