"""Small runs in tests: their config, the environment that they need, and modules run as commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY_CONFIG = """
protocol: holdout
device: cpu
strata: [200x]
pixels: {size: 32}
schedule: {epochs: 2, batch_size: 8, learning_rate: 0.02, augmentation: random}
sources:
  natural: {kind: image-folder, phantom: true}
  lung: {kind: lc25000, phantom: true}
models:
  majority: {}
  densenet: {options: {growth_rate: 4, block_config: [1, 1]}}
"""


def prepare_environment(monkeypatch: pytest.MonkeyPatch, cache: Path, folder: Path) -> None:
    """Point the harness at a cache, at no data and at a wide terminal."""
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.setenv("HARNESS_DATA", str(folder / "no-data"))
    monkeypatch.setenv("COLUMNS", "200")


def run_module(*arguments: object, cwd: Path, **environment: str) -> str:
    """Run a module with this Python, expect that it succeeds, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
