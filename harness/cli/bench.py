"""``harness bench``."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch

from harness.benchmarks.images import measure_images
from harness.benchmarks.report import Report, images_report, training_report, turns
from harness.benchmarks.training import Contest, measure_training
from harness.config.config_files import load_config
from harness.config.run_config import RunConfig
from harness.errors import UsageError
from harness.planning.models import ModelEntry, model_entries
from harness.plugin_api.discovery import discover
from harness.plugin_api.schedule import ExecutionMode
from harness.threads import usable_cores
from harness.training.auto import COMPILED, EAGER, resolve_execution_mode, resolve_precision
from harness.training.concurrent import TrainingSpec
from harness.training.devices import resolve_device
from harness.training.torch_model import TorchModel

_JOBS_ON_CUDA = 4
_CACHED_FROM = 1000  # epochs: under so many a frozen prefix is worth caching


@click.group("bench")
def command() -> None:
    """Measure speed against plain loops, side by side in one process."""


@command.command("train")
@click.argument("config", default="bench")
@click.option(
    "-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as schedule.execution_mode=eager."
)
@click.option("--models", metavar="A,B", help="Only these models of the config.")
@click.option("--batch", type=click.IntRange(2), help="Images a step.  [default: the config's]")
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(16),
    multiple=True,
    help="Side in pixels, repeatable.  [default: the config's]",
)
@click.option("--device", metavar="auto|cpu|cuda[:N]", help="Where to train.  [default: the config's]")
@click.option("--jobs", type=click.IntRange(1), help="Cells at once.  [default: 4 on CUDA, the cores on the CPU]")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True, help="Of a turn.")
@click.option("--loss-epochs", type=click.IntRange(0), default=2, show_default=True, help="0 compares no losses.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the page and its JSON.")
@click.option("--name", default="train", show_default=True, help="Of the page in that folder.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def train(config: str, overrides: tuple[str, ...], out: Path | None, *, as_json: bool, **flags: Any) -> None:
    """Train each network of CONFIG on random images, in turns: a plain loop, a data loader, the shared loop, ..."""
    keys = {"schedule.batch_size": flags["batch"], "device": flags["device"]}
    given = tuple(f"{key}={value}" for key, value in keys.items() if value is not None)
    _, settings = load_config(config, (*overrides, *given), partial(click.echo, err=True))
    if flags["models"]:
        settings = settings.with_models([label.strip() for label in flags["models"].split(",")])
    device = resolve_device(settings.device)
    sizes = flags["sizes"] or (settings.pixels.size,)
    with tempfile.TemporaryDirectory() as scratch:
        jobs = flags["jobs"] or (_JOBS_ON_CUDA if device.type == "cuda" else usable_cores())
        contest = Contest(flags["rounds"], flags["seconds"], jobs, Path(scratch), flags["loss_epochs"])
        results = [
            measure_training(entry.label, replace(_order(entry, settings, device), size=size), contest)
            for entry in model_entries(settings, discover())
            for size in sizes
        ]
    report = training_report(results, _facts(settings, device, contest), on_cpu=device.type == "cpu")
    _show(report, out, flags["name"], as_json=as_json)


@command.command("data")
@click.option("--images", type=click.IntRange(1), default=384, show_default=True, help="How many are generated.")
@click.option("--size", type=click.IntRange(16), default=224, show_default=True, help="Side in pixels.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True, help="Of a turn.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for data.md and data.json.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def data(images: int, size: int, rounds: int, seconds: float, out: Path | None, *, as_json: bool) -> None:
    """Decode, normalise and augment generated images, as here and in plain loops."""
    results = measure_images(images, size, rounds, seconds)
    setting = {"images": f"{images} of 700 x 460 pixels, to {size} x {size}", **turns(rounds, seconds)}
    _show(images_report("Preparing images, several ways", results, setting), out, "data", as_json=as_json)


def _order(entry: ModelEntry, config: RunConfig, device: torch.device) -> TrainingSpec:
    if not issubclass(entry.registered.model, TorchModel):
        raise UsageError(f"model '{entry.label}' is not trained in steps - leave it out with --models")
    fastest: ExecutionMode = COMPILED if device.type == "cuda" else EAGER
    return TrainingSpec(
        entry.registered.plugin,
        entry.registered.model.name,
        entry.options,
        2,
        config.pixels.size,
        config.schedule.model_copy(update={"epochs": _CACHED_FROM}),
        device=str(device),
        execution_mode=resolve_execution_mode(
            fastest if config.schedule.execution_mode == "auto" else config.schedule.execution_mode, device.type
        ),
        threads=config.threads,
    )


def _facts(config: RunConfig, device: torch.device, contest: Contest) -> dict[str, Any]:
    return {
        "batch": config.schedule.batch_size,
        "precision": resolve_precision(config.schedule.precision, device.type),
        "threads": config.threads if device.type == "cpu" else "-",
        "jobs": contest.jobs,
        **turns(contest.rounds, contest.seconds, device),
    }


def _show(report: Report, out: Path | None, name: str, *, as_json: bool) -> None:
    if out is not None:
        report.write(out, name)
    click.echo(report.to_json() if as_json else report.to_markdown(), nl=False)
