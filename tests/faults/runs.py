"""Real runs in processes of their own, to be disturbed from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil

_MARK = "HARNESS_FAULTS_MARK"
_LIMIT_SECONDS = 240

CONFIG = """
protocol: holdout
device: cpu
strata: [100x, 200x]
pixels: {size: 32}
schedule: {epochs: 4, batch_size: 8, learning_rate: 0.02, augmentation: random}
models:
  majority: {}
  densenet: {options: {growth_rate: 4, block_config: [1, 1]}}
"""


@dataclass
class Stage:
    """Where runs are made: a config, images, a cache of their own, and a mark by which their processes are known."""

    folder: Path
    images: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        (self.folder / "config.yaml").write_text(CONFIG)

    def start(self, out: Path, *arguments: object, under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start ``harness run``, perhaps under another command, in a process group of its own."""
        given = ("run", self.folder / "config.yaml", "--data", self.images, "--out", out, *arguments)
        return subprocess.Popen(
            [*under, sys.executable, "-m", "harness", *map(str, given)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(),
            cwd=self.folder,
            start_new_session=True,
        )

    def run(self, out: Path, *arguments: object, under: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run it to its end: exit code and what it said."""
        process = self.start(out, *arguments, under=under)
        _, told = process.communicate(timeout=_LIMIT_SECONDS)
        return process.returncode, told

    def family(self) -> list[psutil.Process]:
        """Every process that descends from this stage's runs, whoever its parent is now."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def survivors(self) -> list[psutil.Process]:
        """What is still there some seconds after the host has gone."""
        return psutil.wait_procs(self.family(), timeout=10)[1]

    def _environment(self) -> dict[str, str]:
        own = {"HARNESS_CACHE": str(self.folder / "cache"), _MARK: self.mark, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        return {**os.environ, **own}


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """Read what a run says until a line has the word."""
    told = ""
    for line in process.stderr:
        told += line
        if word in line:
            return told
    raise AssertionError(f"it never said '{word}':\n{told}")


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Press Ctrl-C: a signal to the whole group."""
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=_LIMIT_SECONDS)
    return process.returncode, told


def results(run: Path, *models: str) -> dict[str, bytes]:
    """What must not depend on what a run went through: predictions and tables, byte for byte, times excepted."""
    files = sorted(run.glob("cells/*/predictions.parquet"))
    found = {f.parent.name: f.read_bytes() for f in files if not models or f.parent.name.rsplit("-", 3)[0] in models}
    if not models:
        found |= {name: (run / "tables" / name).read_bytes() for name in ("table1.csv", "table3.csv", "table4.csv")}
        untimed = pd.read_csv(run / "tables/table5.csv")[["model", "cells", "converged", "epochs", "images"]]
        found["table5.csv"] = untimed.to_csv().encode()
    return found


def failures(run: Path) -> dict[str, str]:
    """The reasons of failed cells by model."""
    records = [json.loads(path.read_text()) for path in run.glob("cells/*/cell.json")]
    return {record["model"]: record["error"]["reason"] for record in records if record["state"] == "failed"}
