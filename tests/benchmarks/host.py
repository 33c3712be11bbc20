"""Benchmark of the host of a run: what a cell costs it, whoever does the cell.

python tests/benchmarks/host.py [--cells 10000]... [--slots 2]... [--executor local]... [--out FOLDER]

Stand-ins answer in the place of the processes that do cells (``host_stand_ins.py``). All else is a run as it is: plan,
queues, messages, tables, metrics, records, checksums, what is written and flushed. Nothing is displayed, and the tables
at the end are left out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import click
from harness_plugins.breakhis.official import official_files
from host_stand_ins import MODEL_BYTES, SharedActors, supervise_stand_in
from host_timers import Spent, timers_at
from tabulate import tabulate

import harness
from harness.api import merge as merging
from harness.benchmarks.cores import processor_seconds
from harness.benchmarks.report import Report, machine
from harness.execution import collect, local_executor, runner
from harness.execution.tasks import Tasks
from harness.store import checksums
from harness.store.run_store import RunStore
from harness.synthetic.files import keyed_rng, write_png
from harness.training.devices import resolve_device
from harness.workers import supervisor
from harness.workers.handle import WorkerHandle

Executor = Literal["local", "ray", "shard"]
_STRATA, _FOLDS, _MOST_MODELS = 4, 5, 25
_SIZE = 16
_SHARDS = 2
_ACTORS = 4
_STORE_BYTES = 100 << 20
_CELL_SECONDS = (1, 10, 60)
_REAL_CELLS = 20
REST, WAITING, STARTING = "all else", "waiting for messages", "supervisors started and ended"
SEAMS: dict[str, list[tuple[Any, str]]] = {
    WAITING: [(local_executor, "wait_for_any")],
    "messages": [(WorkerHandle, "send"), (WorkerHandle, "receive")],
    STARTING: [(WorkerHandle, "__init__"), (WorkerHandle, "kill")],
    "tasks": [(Tasks, "make")],
    "notes of cells at work": [(RunStore, "set_active"), (RunStore, "clear_active")],
    "tables of predictions and epochs": [(collect, "prediction_table"), (collect, "history_table")],
    "metrics and convergence": [(collect, "findings")],
    "records": [(collect, "done_record"), (collect.Collector, "_identity")],
    "cell's folder": [(RunStore, "finish_cell"), (RunStore, "drop_checkpoint")],
    "sha256": [(checksums, "_sum")],
    "fsync": [(os, "fsync")],
}
_NOTE = (
    "Milliseconds a cell. *Processor* is that of the host's main thread, *wall* includes waiting for the disk and for "
    "other processes of the machine; *calls* are calls a cell. Where one kind of work is done within another, it "
    "counts for the inner one alone."
)
_SATURATION_NOTE = (
    "Workers that keep the host busy all the time: seconds of a cell and its process over seconds of the host a cell, "
    "all of its wall time but waiting for messages and starting supervisors, which is done once a worker and model."
)


@dataclass(frozen=True)
class HostCost:
    """What the host of a run has spent on its cells.

    Attributes:
        executor: What ran them.
        slots: Cells at once.
        cells: How many.
        spent: By kind of work, from the first cell's start to the last one's end.
        before_seconds: Wall time before the first cell.
        merge_seconds: Wall time of putting shards together, without tables.
    """

    executor: Executor
    slots: int
    cells: int
    spent: dict[str, Spent]
    before_seconds: float
    merge_seconds: float = 0.0

    @property
    def busy_ms(self) -> float:
        """Wall time of the host's own work, in milliseconds a cell."""
        own = sum(spent.wall for kind, spent in self.spent.items() if kind not in {WAITING, STARTING})
        return 1e3 * own / self.cells

    def total_ms(self, clock: str) -> float:
        """All of one clock, in milliseconds a cell."""
        return 1e3 * sum(getattr(spent, clock) for spent in self.spent.values()) / self.cells

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


@dataclass(frozen=True)
class Bench:
    """Where and on what the host is measured.

    Attributes:
        scratch: For images, cache and run folders.
    """

    scratch: Path

    def write_inputs(self) -> None:
        """Write noise under the names of all official images: so sides have their true size; and a config."""
        rng = keyed_rng("host benchmark")
        images = self.scratch / "images"
        images.mkdir(parents=True)
        for stem in official_files():
            write_png(images / f"{stem}.png", rng.integers(0, 256, (3, _SIZE, _SIZE), dtype="uint8"))

    def config(self, cells: int) -> Path:
        """Write a config of at least so many cells."""
        seeds = -(-cells // (_STRATA * _FOLDS * _MOST_MODELS))
        models = -(-cells // (_STRATA * _FOLDS * seeds))
        rows = "".join(f"  model-{number}: {{plugin: majority}}\n" for number in range(models))
        keys = f"device: cpu\nseeds: {list(range(seeds))}\npixels: {{size: {_SIZE}, stain: none}}\nmodels:\n{rows}"
        file = self.scratch / "config.yaml"
        file.write_text(keys, encoding="utf-8")
        return file

    def run(self, executor: Executor, cells: int, slots: int, address: str | None = None) -> HostCost:
        """Measure one executor with at least so many cells, so many at once."""
        config = self.config(cells)
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(supervisor, "supervise", supervise_stand_in))
            stack.enter_context(mock.patch("harness.api.runs.publish", return_value={}))
            stack.enter_context(mock.patch.object(merging, "publish", return_value={}))
            stack.enter_context(_shared_actors(slots) if executor == "ray" else nullcontext())
            seams = {**SEAMS, **(_ray_seams() if executor == "ray" else {})}
            timers = stack.enter_context(timers_at(seams, (runner, "_compute"), REST))
            began = time.perf_counter()
            folders = [self._run(config, slots, address, shard) for shard in _shards(executor)]
            wall, inside = time.perf_counter() - began, sum(spent.wall for spent in timers.spent.values())
            began = time.perf_counter()
            if executor == "shard":
                harness.merge(self.scratch / "merged", folders)
            merge = time.perf_counter() - began if executor == "shard" else 0.0
        done = timers.spent["metrics and convergence"].calls
        for folder in (*folders, self.scratch / "merged"):
            shutil.rmtree(folder, ignore_errors=True)
        return HostCost(executor, slots, done, dict(timers.spent), wall - inside, merge)

    def _run(self, config: Path, slots: int, address: str | None, shard: str | None) -> Path:
        out = self.scratch / f"run-{(shard or '').replace('/', '-of-')}"
        on_ray: dict[str, Any] = {"executor": "ray", "ray_address": address} if address else {}
        given = {"data": self.scratch / "images", "out": out, "jobs": slots, "shard": shard, **on_ray}
        result = harness.run(config, **given)
        if result.failures:
            raise click.ClickException(f"cells have failed: {next(iter(result.failures.items()))}")
        return out

    def real_cell(self) -> dict[str, float]:
        """Return wall and processor seconds of a cell of ``majority``: its process, and hardly any work."""
        seconds: list[float] = []
        inner = runner._compute

        def counted(*given: Any) -> None:
            before = time.perf_counter(), processor_seconds()
            inner(*given)
            seconds.extend((time.perf_counter() - before[0], processor_seconds() - before[1]))

        with mock.patch.object(runner, "_compute", counted), mock.patch("harness.api.runs.publish", return_value={}):
            result = harness.run(self.config(_REAL_CELLS), data=self.scratch / "images", out=self.scratch / "real")
        shutil.rmtree(result.folder)
        return {"wall_seconds": seconds[0] / _REAL_CELLS, "processor_seconds": seconds[1] / _REAL_CELLS}


def _shards(executor: Executor) -> list[str | None]:
    return [f"{number}/{_SHARDS}" for number in range(1, _SHARDS + 1)] if executor == "shard" else [None]


def _ray_seams() -> dict[str, list[tuple[Any, str]]]:
    import ray
    from ray.actor import ActorMethod

    from harness.execution import ray_executor
    from harness.execution.ray_files import OutgoingFiles

    return {
        WAITING: [(ray, "wait")],
        "messages": [(ray, "get"), (ray.ObjectRefGenerator, "__next__"), (ActorMethod, "_remote")],
        "files": [(OutgoingFiles, "files_of"), (OutgoingFiles, "stages_of"), (ray_executor, "keep")],
        STARTING: [(ray_executor, "connect"), (ray_executor.RayExecutor, "_start_actor"), (ray, "shutdown")],
    }


@contextmanager
def _shared_actors(slots: int) -> Iterator[None]:
    """Let a few actors answer for all slots; they end with the connection."""
    import ray

    from harness.execution.ray_executor import RayExecutor

    shared = SharedActors(min(_ACTORS, slots), slots)
    with mock.patch.object(RayExecutor, "_start_actor", shared.next), mock.patch.object(ray, "kill"):
        yield


@contextmanager
def two_nodes() -> Iterator[str]:
    """Start a cluster of two nodes on this machine, and return its address."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {"num_cpus": 1, "object_store_memory": _STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        yield cluster.address
    finally:
        cluster.shutdown()


def host_report(costs: Sequence[HostCost], real_cell: dict[str, float], setting: dict[str, Any]) -> Report:
    """Return the page: a table of workers that saturate the host, and one of kinds of work a run."""
    start = real_cell["wall_seconds"]
    head = ["executor", "cells at once", "cells", "host, ms a cell", "of it processor", "merging, ms a cell"]
    head += [f"workers, cells of {seconds} s" for seconds in _CELL_SECONDS]
    rows = [
        [
            *(one.executor, one.slots, one.cells, one.busy_ms, one.total_ms("processor")),
            f"{1e3 * one.merge_seconds / one.cells:.1f}" if one.merge_seconds else "-",
            *(int(1e3 * (seconds + start) / one.busy_ms) for seconds in _CELL_SECONDS),
        ]
        for one in costs
    ]
    busy = real_cell["processor_seconds"]
    own = f"A real cell's process, of `majority`: {start:.2f} s of wall, {busy:.2f} s of processor."
    parts = [own, _SATURATION_NOTE, tabulate(rows, head, tablefmt="github", floatfmt=".1f"), _NOTE, *map(_parts, costs)]
    results = [{"real_cell": real_cell}, *(one.to_json() for one in costs)]
    return Report("The host's own work", setting, results, "\n\n".join(parts) + "\n")


def _parts(one: HostCost) -> str:
    rows = [
        [kind, 1e3 * spent.processor / one.cells, 1e3 * spent.wall / one.cells, f"{spent.calls / one.cells:.1f}"]
        for kind, spent in sorted(one.spent.items(), key=lambda item: -item[1].wall)
    ]
    title = f"## {one.executor}, {one.slots} cells at once, {one.cells:,} cells"
    before = f"Before the first cell: {one.before_seconds:.1f} s."
    return f"{title}\n\n{before}\n\n" + tabulate(rows, ["", "processor", "wall", "calls"], "github", floatfmt=".2f")


@click.command()
@click.option(
    "--cells", "counts", type=click.IntRange(_STRATA * _FOLDS), multiple=True, default=(10_000,), show_default=True
)
@click.option("--slots", type=click.IntRange(1), multiple=True, default=(2,), show_default=True, help="Cells at once.")
@click.option(
    "--executor", "executors", type=click.Choice(["local", "ray", "shard"]), multiple=True, default=("local",)
)
@click.option("--model-bytes", type=click.IntRange(0), default=100_000, show_default=True, help="What a model saves.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the page, as .md and .json.")
@click.option("--name", default="host", show_default=True, help="Of the page.")
def main(
    counts: tuple[int, ...],
    slots: tuple[int, ...],
    executors: tuple[Executor, ...],
    model_bytes: int,
    out: Path | None,
    name: str,
) -> None:
    """Run cells that are done at once, and say what each costs the host."""
    os.environ[MODEL_BYTES] = str(model_bytes)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HARNESS_CACHE"] = f"{scratch}/cache"
        bench = Bench(Path(scratch))
        bench.write_inputs()
        real_cell = bench.real_cell()
        costs = []
        for executor in executors:
            with two_nodes() if executor == "ray" else nullcontext() as address:
                costs += [bench.run(executor, cells, many, address) for cells in counts for many in slots]
    options = {"executor": executors, "cells": counts, "slots": slots}
    given = [f"--{option} {value}" for option, values in options.items() for value in values]
    setting = {
        "command": " ".join(["python tests/benchmarks/host.py", *given, f"--model-bytes {model_bytes}"]),
        "machine": machine(resolve_device("cpu")),
        "a cell": f"about 395 test and 395 validation images, 12 epochs, a model of {model_bytes:,} bytes",
        "Ray": f"two nodes on this machine, {_ACTORS} actors at most answer for all slots",
    }
    report = host_report(costs, real_cell, setting)
    if out is not None:
        report.write(out, name)
    click.echo(report.to_markdown(), nl=False)


if __name__ == "__main__":
    main()
