"""``harness run``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.cache import Cache
from harness.cli.display import Display
from harness.cli.notes import note
from harness.config.run_config import RunConfig, StudyKind, load_config, parse_config
from harness.execution.estimate import estimate_run, render_estimate
from harness.execution.local_executor import Outcome
from harness.execution.runner import execute
from harness.locations import cache_folder, data_folder, results_folder
from harness.planning.plan import prepare_run
from harness.planning.scan import scan_images
from harness.planning.splits import divide
from harness.plugin_api.discovery import PluginHost, discover
from harness.reporting.publish import publish
from harness.reporting.study import publish_study
from harness.reporting.table import render
from harness.store.run_store import TRACEBACK, RunStore
from harness.store.study import begin_study
from harness.text import printable


def _jobs(_context: click.Context, _option: click.Parameter, given: str) -> int | None:
    """Read ``--jobs``: None stands for ``auto``."""
    if given == "auto":
        return None
    if not given.isdecimal() or int(given) < 1:
        raise click.BadParameter(f"{given} is neither a number of cells nor auto")
    return int(given)


@click.command("run")
@click.argument("config")
@click.option("-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as schedule.epochs=20.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: $HARNESS_RESULTS/<config>]")
@click.option("--models", metavar="A,B", help="Only these models of the config.")
@click.option("--device", metavar="auto|cpu|cuda[:N]", help="Where to train.")
@click.option("--jobs", metavar="N|auto", default="1", show_default=True, callback=_jobs, help="Cells at once.")
@click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="A plugin file; its models run."
)
@click.option("--limit", type=click.IntRange(1), help="Images per class and side; results are not comparable.")
@click.option("--fresh", is_flag=True, help="Move the run's old cells aside first.")
@click.option("--wait", is_flag=True, help="Wait for another process that is at work in the run folder.")
@click.option("--dry-run", is_flag=True, help="Print cells, memory and an estimate of time; train nothing.")
def command(config: str, overrides: tuple[str, ...], out: Path | None, models: str | None, **flags: Any) -> int:
    """Train and evaluate every model of CONFIG: a path, or the name of a shipped config.

    An interrupted run goes on where it stopped. Tables go to standard output, progress to standard error.
    """
    name, settings = load_config(config, overrides)
    out, data = (path and path.absolute() for path in (out, flags["data"]))  # before a plugin's code runs
    host = discover(flags["plugins"])
    for trouble in host.troubles():
        note(trouble)
    settings = _settled(settings, host, {**flags, "data": data})
    folder = out or (results_folder() / name).absolute()
    runs = settings.runs() or {".": settings}
    orders = {
        run: _Order(name, _with_models(config, models), host, RunStore(folder / run), flags)
        for run, config in runs.items()
    }
    if flags["dry_run"]:
        for run, order in orders.items():
            click.echo(run if settings.study else settings.protocol)
            _print_estimate(order)
        return 0
    return _make_study(folder, settings.study, orders) if settings.study else _make_run(orders["."])


@dataclass(frozen=True)
class _Order:
    """A run that is wanted: of which config and models, into which folder, under which flags."""

    name: str
    config: RunConfig
    host: PluginHost
    store: RunStore
    flags: dict[str, Any]


def _print_estimate(order: _Order) -> None:
    with Display() as display:
        config = _with_stand_ins(order.config, display)
        cache = Cache(cache_folder(), display.note)
        run = prepare_run(order.name, config, order.host, order.store, cache, display)
        estimate = estimate_run(run, order.store, cache, order.flags["jobs"] or 1)
    click.echo(render_estimate(estimate), nl=False)


def _make_run(order: _Order) -> int:
    outcome = _compute(order)
    if outcome.computed or outcome.kept:
        tables = publish(order.store)
        click.echo("\n".join(render(tables[number], "md") for number in (3, 4, 5)), nl=False)
    return _report(order.store.folder, outcome)


def _make_study(folder: Path, kind: StudyKind, orders: dict[str, _Order]) -> int:
    for order in orders.values():
        # a refusal must not come after hours of training of another run
        divide(order.config, scan_images(order.config, Cache(cache_folder(), note)))
    study = begin_study(folder, kind, orders)
    outcomes = {order.store.folder: _compute(order) for order in orders.values()}
    if all(outcome.computed or outcome.kept for outcome in outcomes.values()):
        click.echo(render(publish_study(study), "md"), nl=False)
    codes = [_report(place, outcome) for place, outcome in outcomes.items()]
    return max(codes)


def _compute(order: _Order) -> Outcome:
    """Compute what a run lacks."""
    on_wait = note if order.flags["wait"] else None
    with order.store.open_for_writing(on_wait):
        if order.flags["fresh"]:
            order.store.move_cells_aside()
        with Display() as display:
            cache = Cache(cache_folder(), display.note)
            run = prepare_run(order.name, order.config, order.host, order.store, cache, display)
            return execute(run, order.store, cache, order.flags["jobs"], display)


def _settled(config: RunConfig, host: PluginHost, flags: dict[str, Any]) -> RunConfig:
    """Apply the flags that stand for config keys."""
    values = config.model_dump(mode="json")
    for label, row in host.rows_of_files().items():
        values["models"].setdefault(label, row)
    values["data"]["folder"] = str(flags["data"]) if flags["data"] else values["data"]["folder"]
    values["device"] = flags["device"] or values["device"]
    values["limit"] = flags["limit"] or values["limit"]
    return parse_config(values, "command line")


def _with_models(config: RunConfig, models: str | None) -> RunConfig:
    return config.with_models([label.strip() for label in models.split(",")]) if models else config


def _with_stand_ins(config: RunConfig, display: Display) -> RunConfig:
    """Let generated images stand in for source sets that are not there yet: an estimate of time does not need them."""
    missing = {
        name: source.model_copy(update={"phantom": True})
        for name, source in config.sources.items()
        if source.folder is None and not source.phantom and not (data_folder() / name).is_dir()
    }
    if missing:
        display.note(f"source sets not there, generated images stand in for the estimate: {', '.join(missing)}")
    return config.model_copy(update={"sources": {**config.sources, **missing}})


def _report(folder: Path, outcome: Outcome) -> int:
    click.echo(
        f"{outcome.computed} cells computed, {outcome.kept} kept, {len(outcome.failures)} failed: {folder}",
        err=True,
    )
    if outcome.computed or outcome.kept:
        click.echo(f"tables and figures: {folder / 'tables'}, {folder / 'figures'}", err=True)
    if outcome.failures:
        click.echo(f"what went wrong, line by line: {folder}/cells/CELL/{TRACEBACK}", err=True)
    for message in outcome.failure_messages():
        click.echo(printable(f"failed: {message}"), err=True)
    return 1 if outcome.failures else 0
