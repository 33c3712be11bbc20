"""Benchmark of the commands that only look at a run, on a large one whose models answered by chance.

python tests/benchmarks/scale.py [--cells 1000] [--out results/benchmarks]

Images, splits, keys, records and tables are a run's own, made by the road that every run takes; only the processes that
would train are left out, and their answers are drawn at random.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from tabulate import tabulate

from harness import ModelCard
from harness.benchmarks.report import Report, machine
from harness.cache import Cache
from harness.config.config_files import load_config
from harness.execution.collect import Collector
from harness.execution.executor import Ended, EpochEnded, Event, Started
from harness.execution.measurements import Speed
from harness.execution.tasks import Tasks
from harness.locations import cache_folder
from harness.planning.observer import Observer
from harness.planning.plan import Run, prepare_run
from harness.planning.run_record import run_record
from harness.plugin_api.discovery import discover
from harness.plugin_api.model import EpochReport
from harness.plugin_api.schedule import FINAL_STAGE
from harness.store.cells import Cell
from harness.store.keys import hash_of
from harness.store.run_store import RunStore
from harness.training.devices import describe_device
from harness.workers.messages import FitTask, Fitted, Measured

HERE = Path(__file__).parent
SHORTCUTS = ("white-point", "mean-colour", "sharpness")
EPOCHS = 12
_SPEED = Speed(Measured(throughput=None, calibration_seconds=None, peak_memory_bytes=0))
_LIBRARIES = ("numpy", "pandas", "pyarrow", "torch")
_LAUNCHER = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
wall, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss]))
sys.exit(done.returncode)
"""
"""Starts a command from a small process: on Linux a process inherits the peak of whoever starts it."""

_NOTE = (
    "Peak memory is that of the largest process, shared libraries included. Each command is a process of its own, from "
    "its start to its end; what it reads has been written just before, so the disk has little part in it. More "
    "cores hold the rows of more models at a time, up to eight."
)


@dataclass(frozen=True)
class Step:
    """What a command took, with all processes that it started.

    Attributes:
        name: What it does.
        wall_seconds: From start to end.
        processor_seconds: Of all processes.
        peak_mb: Memory of the largest one, in MB.
    """

    name: str
    wall_seconds: float
    processor_seconds: float
    peak_mb: float


def config_of(cells: int, models: int, groups: int, images: int) -> dict[str, Any]:
    """Return the config of at least so many cells: shortcuts, and networks that differ in their growth.

    Args:
        cells: Of four strata and five folds; seeds make up the number.
        models: How many.
        groups: Patients.
        images: Of a patient at a stratum.
    """
    networks = {
        f"densenet-{growth}": {"plugin": "densenet", "options": {"growth_rate": growth, "block_config": [1, 1]}}
        for growth in range(1, models + 1)
    }
    labels = dict(list({**{name: {} for name in SHORTCUTS}, **networks}.items())[:models])
    return {
        "protocol": "accession-5fold",
        "seeds": list(range(-(-cells // (20 * models)))),
        "device": "cpu",
        "data": {"phantom": {"accessions": groups, "images": images, "size": 32}},
        "pixels": {"size": 32},
        "schedule": {"epochs": EPOCHS, "batch_size": 16, "learning_rate": 0.02},
        "models": labels,
    }


def prepare(config: str, folder: str) -> Run:
    """Prepare a run: its images, splits and keys."""
    name, settings = load_config(config, (), print)
    return prepare_run(name, settings, discover(()), RunStore(Path(folder)), _cache(), Observer())


def fill(config: str, folder: str) -> None:
    """Keep an answer by chance for every cell of a run."""
    run, store = prepare(config, folder), RunStore(Path(folder))
    record = run_record(run.name, run.division, run.comparison, describe_device(run.device))
    with store.open_for_writing():
        store.write_run(record, run.division.manifest, run.division.splits)
        speeds = {entry.label: _SPEED for entry in run.entries}
        collector = Collector(run, store, Tasks(run, store, _cache(), {}), speeds, Observer())
        for cell in run.keys:
            for event in events_of(cell, collector.task(cell, "cpu")):
                collector.on_event(event)
        if collector.outcome.failures:
            raise SystemExit(f"cells failed: {collector.outcome.failures}")


def events_of(cell: Cell, task: FitTask) -> Iterator[Event]:
    """Yield what an executor would tell of a cell, its epochs and probabilities drawn by a generator of its own."""
    random = np.random.default_rng(int(hash_of(cell.name)[:8], 16))
    trained = cell.label not in SHORTCUTS
    yield Started(cell, os.getpid(), "nowhere")
    for epoch in range(1, trained * EPOCHS + 1):
        accuracy = float(np.clip(0.5 + 0.35 * (1 - np.exp(-epoch / 3)) + random.normal(0, 0.01), 0, 1))
        measured = dict.fromkeys(("accuracy", "balanced_accuracy"), accuracy) | {"loss": 0.7 / epoch}
        sides = {f"{side}_{name}": value for side in ("train", "validation") for name, value in measured.items()}
        report = {"images_seen": epoch * 1000, "train_seconds": 3.0 * epoch, **sides}
        yield EpochEnded(cell, EpochReport(stage=FINAL_STAGE, epoch=epoch, **report))
    card = ModelCard(parameters=29_406, execution_mode="eager" if trained else "none")
    validation, test = (_probabilities(len(rows), random) for rows in (task.validation.labels, task.test.rows))
    yield Ended(cell, Fitted(validation, test, card, 36.0, 1.0, 500_000_000), 38.0, 1, ran_concurrently=False)


def _probabilities(images: int, random: np.random.Generator) -> NDArray[np.float64]:
    positive = random.beta(2, 2, images).astype(np.float32).astype(float)
    return np.stack([1 - positive, positive], axis=1)


def _cache() -> Cache:
    return Cache(cache_folder(), print)


def timed(name: str, command: Sequence[object], cache: Path) -> Step:
    """Run a command to its end.

    Raises:
        SystemExit: It failed, and has said why.
    """
    environment = {**os.environ, "HARNESS_CACHE": str(cache), "PYTHONPATH": str(HERE)}
    python = [sys.executable, "-W", "ignore"]
    done = subprocess.run(
        [*python, "-c", _LAUNCHER, *python, *map(str, command)], stdout=subprocess.PIPE, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name}: failed")
    wall, processor, peak = json.loads(done.stdout)
    return Step(name, wall, processor, peak * (1 if sys.platform == "darwin" else 1024) / 1e6)


def measure(config: dict[str, Any], scratch: Path) -> list[Step]:
    """Make a run in a folder, and measure what looks at it."""
    file, run, cache = scratch / "scale.yaml", scratch / "run", scratch / "cache"
    file.write_text(json.dumps(config))  # which YAML is as well
    harness, call = ("-m", "harness"), ("-c", "import sys, scale; getattr(scale, sys.argv[1])(*sys.argv[2:])")
    return [
        timed("keeping an answer of every cell", [*call, "fill", file, run], cache),
        timed("preparing the run again", [*call, "prepare", file, run], cache),
        timed("`harness tables`", [*harness, "tables", run], cache),
        timed("`harness tables`, nothing new", [*harness, "tables", run], cache),
        timed("`harness run`, every cell kept", [*harness, "run", file, "--out", run], cache),
        timed("`harness status`", [*harness, "status", run], cache),
    ]


def report_of(steps: Sequence[Step], setting: dict[str, Any]) -> Report:
    """Return the page."""
    rows = [
        [step.name, f"{step.wall_seconds:.1f}", f"{step.processor_seconds:.1f}", f"{step.peak_mb:,.0f}"]
        for step in steps
    ]
    heads = ["what", "wall time (s)", "processor time (s)", "peak memory (MB)"]
    table = tabulate(rows, headers=heads, tablefmt="pipe", disable_numparse=True, colalign=("left", *["right"] * 3))
    return Report("A large run", setting, [asdict(step) for step in steps], f"{table}\n\n{_NOTE}\n")


@click.command()
@click.option("--cells", type=click.IntRange(1), default=1000, show_default=True, help="At least; seeds make them up.")
@click.option("--models", type=click.IntRange(1), default=25, show_default=True)
@click.option("--groups", type=click.IntRange(10), default=82, show_default=True, help="Patients.")
@click.option("--images", type=click.IntRange(1), default=25, show_default=True, help="Of a patient at a stratum.")
@click.option("--name", default="scale", show_default=True, help="Of the files.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for scale.md and scale.json.")
def main(cells: int, models: int, groups: int, images: int, name: str, out: Path | None) -> None:
    """Make a large run, and measure the commands that look at it."""
    config = config_of(cells, models, groups, images)
    with tempfile.TemporaryDirectory() as scratch:
        steps = measure(config, Path(scratch))
    setting = {
        "run": f"{20 * models * len(config['seeds']):,} cells: {models} models, 4 strata, 5 folds, "
        f"{len(config['seeds'])} seeds; {groups} patients, {images} images of each at a stratum",
        "device": machine(torch.device("cpu")),
        "versions": ", ".join(f"{library} {version(library)}" for library in _LIBRARIES),
    }
    report = report_of(steps, setting)
    if out is not None:
        report.write(out, name)
    click.echo(report.to_markdown(), nl=False)


if __name__ == "__main__":
    main()
