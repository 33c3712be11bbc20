"""A run of the harness and a good student's script, on the same images, folds, network, budget and cores.

python tests/benchmarks/compare_student.py --data DIR [-o KEY=VALUE]... [--jobs 1 --jobs 2] [--out results/benchmarks]

Both begin with nothing in any cache, and decode, train, validate and test. The script is given the folds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import click
import pandas as pd
import torch
from tabulate import tabulate

from harness.benchmarks.cores import on_cores, processor_seconds
from harness.benchmarks.report import Report, machine
from harness.config.config_files import load_config
from harness.config.run_config import RunConfig
from harness.processes import adopt_orphans
from harness.training.auto import resolve_precision
from harness.training.devices import versions

HERE = Path(__file__).parent
STUDENT, HARNESS = "good_student.py", "harness run"
MODEL = "densenet"
_NOTE = (
    "Both are bound to as many cores as they have processes. *Processor* is the time of all their processes. "
    "Accuracies are means over the folds. Beside what the script does, the run checks its images and its folds, "
    "keeps every prediction and every network, measures speed, and writes its tables."
)


@dataclass(frozen=True)
class Measured:
    """What one of the two took and reached.

    Attributes:
        name: Of the two.
        jobs: Processes that train, and cores.
        seconds: Wall time.
        processor_seconds: Of all its processes.
        folds: Of each fold ``images``, ``accuracy`` and ``balanced_accuracy`` of its test side.
    """

    name: str
    jobs: int
    seconds: float
    processor_seconds: float
    folds: list[dict[str, float]]

    def accuracy(self, kind: str) -> float:
        """Mean over the folds."""
        return mean(fold[kind] for fold in self.folds)


@dataclass(frozen=True)
class Comparison:
    """What both are asked for.

    Attributes:
        config: A config of one network, one seed and one stratum.
        overrides: Of its keys.
        data: Folder of the images.
        scratch: For what they write.
    """

    config: str
    overrides: tuple[str, ...]
    data: Path
    scratch: Path

    def harness(self, command: str, *further: object) -> list[str]:
        """Return a command of the harness on these images."""
        keys = [part for override in self.overrides for part in ("-o", override)]
        return [
            sys.executable,
            "-m",
            "harness",
            command,
            self.config,
            *keys,
            "--data",
            str(self.data),
            *map(str, further),
        ]

    def settings(self) -> RunConfig:
        """Return the config as resolved."""
        _, settings = load_config(self.config, self.overrides, lambda message: click.echo(message, err=True))
        if list(settings.models) != [MODEL] or len(settings.seeds) != 1 or len(settings.chosen_strata) != 1:
            raise click.UsageError(f"{self.config} must be of the one model '{MODEL}', one seed and one stratum")
        return settings

    def measure_harness(self, jobs: int) -> Measured:
        """Run the harness with an empty cache."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        command = self.harness("run", "--out", folder / "run", "--jobs", jobs)
        wall, processor, _ = timed(command, jobs, HARNESS_CACHE=str(folder / "cache"))
        folds = dict(_fold(cell) for cell in (folder / "run/cells").iterdir())
        return Measured(HARNESS, jobs, wall, processor, [folds[fold] for fold in sorted(folds)])

    def measure_student(self, jobs: int) -> Measured:
        """Run the script on the folds of the harness."""
        splits = self.scratch / "splits.json"
        if not splits.exists():
            splits.write_text(
                subprocess.run(self.harness("splits", "--json"), check=True, stdout=subprocess.PIPE, text=True).stdout
            )
        given = ["--data", self.data, "--splits", splits, "--jobs", jobs, *_student_options(self.settings())]
        wall, processor, printed = timed([sys.executable, str(HERE / STUDENT), *map(str, given)], jobs)
        return Measured(STUDENT, jobs, wall, processor, json.loads(printed))


def timed(command: Sequence[str], cores: int, **environment: str) -> tuple[float, float, str]:
    """Run a command on so many cores: wall seconds, processor seconds of it and its descendants, what it printed."""
    with on_cores(cores):
        before, started = processor_seconds(), time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        return time.perf_counter() - started, processor_seconds() - before, done.stdout


def _student_options(settings: RunConfig) -> list[object]:
    schedule, pixels = settings.schedule, settings.pixels
    network = dict(settings.models[MODEL].options)
    given: dict[str, object] = {
        "--magnification": settings.chosen_strata[0].rstrip("x"),
        "--size": pixels.size,
        "--epochs": schedule.epochs,
        "--batch": schedule.batch_size,
        "--rate": schedule.learning_rate,
        "--momentum": schedule.momentum,
        "--decay": schedule.weight_decay,
        "--dropout": network.pop("dropout", 0.25),
        "--network": json.dumps(network),
        "--seed": settings.seeds[0],
    }
    bf16 = resolve_precision(schedule.precision, "cpu") == "bf16"
    flags = ["--white-balance"] * (pixels.stain == "white-balance") + ["--bf16"] * bf16
    return [*(part for pair in given.items() for part in pair), *flags]


def _fold(cell: Path) -> tuple[int, dict[str, float]]:
    record = json.loads((cell / "cell.json").read_text())
    tested = int((pd.read_parquet(cell / "predictions.parquet", columns=["side"])["side"] == "test").sum())
    found = record["metrics"]
    return record["fold"], {
        "images": tested,
        "accuracy": found["p_img"],
        "balanced_accuracy": found["balanced_accuracy"],
    }


def refuse_other_folds(measured: Sequence[Measured]) -> None:
    """Refuse to compare accuracies on other images.

    Raises:
        click.ClickException: The two were not tested on as many images in every fold.
    """
    tested = {one.name: [int(fold["images"]) for fold in one.folds] for one in measured}
    if len({tuple(images) for images in tested.values()}) > 1:
        raise click.ClickException(f"tested on other images, by fold: {tested} - do both know the same files?")


def table(measured: Sequence[Measured]) -> str:
    """Return times and accuracies in Markdown; ratios are to the script with as many processes."""
    base = {one.jobs: one for one in measured if one.name == STUDENT}
    rows = [
        {
            "processes": one.jobs,
            "": one.name,
            "wall (s)": f"{one.seconds:.1f}",
            "ratio": f"{one.seconds / base[one.jobs].seconds:.2f}",
            "processor (s)": f"{one.processor_seconds:.1f}",
            "ratio ": f"{one.processor_seconds / base[one.jobs].processor_seconds:.2f}",
            "accuracy": f"{100 * one.accuracy('accuracy'):.1f}",
            "balanced accuracy": f"{100 * one.accuracy('balanced_accuracy'):.1f}",
        }
        for one in measured
    ]
    align = ["right", "left", *["right"] * (len(rows[0]) - 2)]
    return tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True, colalign=align)


def fold_table(measured: Sequence[Measured]) -> str:
    """Return the accuracy on each fold's test side in Markdown."""
    rows = [
        [one.jobs, one.name, *(f"{100 * fold['accuracy']:.1f}" for fold in one.folds)]
        for one in sorted(measured, key=lambda one: one.name)
    ]
    heads = ["processes", "accuracy", *(f"fold {number}" for number in range(len(measured[0].folds)))]
    return tabulate(rows, headers=heads, tablefmt="pipe", disable_numparse=True)


def _setting(settings: RunConfig) -> dict[str, Any]:
    schedule, pixels = settings.schedule, settings.pixels
    return {
        "network": f"{MODEL} {settings.models[MODEL].options or '(DenseNet-121)'}",
        "images": f"{settings.chosen_strata[0]}, {pixels.size} x {pixels.size} pixels, stain: {pixels.stain}",
        "schedule": f"{schedule.epochs} epochs, batch {schedule.batch_size}, rate {schedule.learning_rate:g}, "
        f"augmentation {schedule.augmentation}, {resolve_precision(schedule.precision, 'cpu')}",
        "protocol": f"{settings.protocol}, seed {settings.seeds[0]}",
        "device": machine(torch.device("cpu")),
        "versions": ", ".join(f"{name} {versions()[name]}" for name in ("torch", "torchvision", "timm")),
    }


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="BreakHis.")
@click.option("--config", default=str(HERE / "student.yaml"), help="Of one network, one seed and one stratum.")
@click.option("-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the config.")
@click.option("--jobs", type=click.IntRange(1), multiple=True, default=(1, 2), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for student.md and student.json.")
def main(data: Path, config: str, overrides: tuple[str, ...], jobs: tuple[int, ...], out: Path | None) -> None:
    """Time both, with one process and with two."""
    adopt_orphans()  # the time of what a run leaves behind is counted as well
    with tempfile.TemporaryDirectory() as scratch:
        comparison = Comparison(config, overrides, data.resolve(), Path(scratch))
        settings = comparison.settings()
        measured = []
        for count in jobs:
            measured += [comparison.measure_student(count), comparison.measure_harness(count)]
    refuse_other_folds(measured)
    body = "\n\n".join([_NOTE, table(measured), fold_table(measured)]) + "\n"
    title = "A run and a good student's script"
    report = Report(title, _setting(settings), [asdict(one) for one in measured], body)
    if out is not None:
        report.write(out, "student")
    click.echo(report.to_markdown(), nl=False)


if __name__ == "__main__":
    main()
