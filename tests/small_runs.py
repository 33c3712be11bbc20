"""Small runs in tests: their config, and the environment that they need."""

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
