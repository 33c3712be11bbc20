"""Runs on a Ray cluster in tests: their config, a plugin to write, and the processes that they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

STORE_BYTES = 100 << 20
LIMIT_SECONDS = 300
MARK = "HARNESS_RAY_TEST"

CONFIG = """
protocol: holdout
device: cpu
strata: [100x, 200x]
seeds: [0, 1]
pixels: {size: 32}
schedule: {epochs: 3, batch_size: 8, learning_rate: 0.02, augmentation: random}
models:
  majority: {}
  densenet: {options: {growth_rate: 4, block_config: [1, 1]}}
"""

PLUGIN = """
import os, time
from pathlib import Path
import numpy as np
from harness import EpochReport, Model, ModelCard, hookimpl

class Mean(Model):
    name = "NAME"
    def fit(self, train, validation, context):
        print("at work")
        REAL = context.checkpoint is not None
        FIT
    def predict_proba(self, images):
        return np.tile([0.25, 0.75], (len(images), 1))
    def describe(self):
        return ModelCard()
    def save(self, folder):
        (folder / "below").mkdir()
        (folder / "below" / "model.bin").write_bytes(b"saved" * 5_000_000)
    def load(self, folder, device, n_classes):
        pass

@hookimpl
def harness_register_models(register):
    register(Mean)
"""


def write_plugin(folder: Path, name: str, fit: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text(PLUGIN.replace("NAME", name).replace("FIT", fit))
    return file


class Runs:
    """Runs of one config in processes of their own, on images and with a cache of theirs."""

    def __init__(self, folder: Path, images: Path, address: str) -> None:
        self.folder, self.images, self.address = folder, images, address
        self.mark = uuid.uuid4().hex
        (folder / "config.yaml").write_text(CONFIG)

    def start(self, out: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        own_config = (self.folder / "config.yaml", "--data", self.images)
        return self.start_config(out, *own_config, *arguments, **environment)

    def start_config(self, out: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        given = ["run", *arguments, "--out", self.folder / out]
        own = {"HARNESS_CACHE": str(self.folder / "cache"), "COLUMNS": "200", MARK: self.mark}
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *map(str, given)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **own, **environment},
            start_new_session=True,
        )

    def run(self, out: str, *arguments: object) -> tuple[int, str]:
        return ended(self.start(out, *arguments))

    def on_ray(self, address: str | None = None) -> tuple[object, ...]:
        return "--executor", "ray", "--ray-address", address or self.address, "--jobs", 2

    def predictions(self, out: str) -> dict[str, bytes]:
        return {file.parent.name: file.read_bytes() for file in self.folder.glob(f"{out}/cells/*/predictions.parquet")}

    def reasons(self, out: str) -> set[str]:
        records = [json.loads(file.read_text()) for file in self.folder.glob(f"{out}/cells/*/cell.json")]
        return {record["error"]["reason"] for record in records if record["state"] == "failed"}

    def wait_for_active(self, out: str, cells: int) -> None:
        """Wait until so many cells are at work."""
        wait_until(lambda: len(list(self.folder.glob(f"{out}/active/*.json"))) >= cells)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, told = process.communicate(timeout=LIMIT_SECONDS)
    return process.returncode, told


def wait_until(true: Callable[[], object], seconds: float = LIMIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
