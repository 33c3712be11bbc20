"""Compiled loops: there where numba is, absent without a stumble where it is not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from harness import compiled
from harness.kernels import Kernel

SIGNATURE = "float64(float64[::1])"


def total(values):
    found = 0.0
    for value in values:
        found += value
    return found


def folders(patch: pytest.MonkeyPatch, cache: Path) -> None:
    numba = pytest.importorskip("numba")
    patch.setattr(numba.core.config, "CACHE_DIR", str(cache))


def test_a_loop_is_compiled_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    folders(monkeypatch, tmp_path)
    code = compiled(SIGNATURE)(total).machine_code
    assert code is not None
    assert code(np.array([1.0, 2.0])) == 3
    assert list(tmp_path.rglob("*.nbi"))


def test_a_cache_that_a_crash_has_cut_short_costs_no_more_than_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    folders(monkeypatch, tmp_path)
    assert compiled(SIGNATURE)(total).machine_code is not None
    for index in tmp_path.rglob("*.nbi"):
        index.write_bytes(b"")
    code = compiled(SIGNATURE)(total).machine_code
    assert code is not None
    assert code(np.array([1.0, 2.0])) == 3


def test_nothing_is_kept_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").touch()
    folders(monkeypatch, tmp_path / "file" / "no folder")
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])  # neither beside the source nor at home
    code = compiled(SIGNATURE)(total).machine_code
    assert code is not None
    assert code(np.array([1.0, 2.0])) == 3


def test_a_full_disk_stops_no_compilation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    folders(monkeypatch, tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    assert compiled(SIGNATURE)(total).machine_code is not None


@pytest.mark.parametrize("why", ["absent", "switched off", "no loop of numba's"])
def test_there_is_no_machine_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str):
    folders(monkeypatch, tmp_path)
    kernel: Kernel[..., float] = compiled(SIGNATURE)(total)
    if why == "absent":
        monkeypatch.setitem(sys.modules, "numba", None)
    elif why == "switched off":
        monkeypatch.setattr("numba.core.config.DISABLE_JIT", 1)
    else:
        kernel = compiled(SIGNATURE)(lambda values: open(values).name)  # noqa: PTH123, SIM115
    assert kernel.machine_code is None
