"""What is asked to run the cells, and is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def test_ray_that_is_not_installed_is_named(harness, tiny: Path, phantom: Path, tmp_path: Path, monkeypatch) -> None:
    for name in ("ray_cluster", "ray_executor"):
        monkeypatch.delitem(sys.modules, f"harness.execution.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    code, out, err = harness("run", tiny, "--data", phantom, "--out", tmp_path / "run", "--executor", "ray")
    assert (code, out) == (3, "")
    assert "pip install 'breakhis-harness[ray]'" in err
    assert not (tmp_path / "run" / "run.json").exists()


def test_an_address_without_ray_is_refused(harness, tiny: Path, phantom: Path, tmp_path: Path) -> None:
    given = ("--data", phantom, "--out", tmp_path / "run", "--ray-address", "local")
    code, _, err = harness("run", tiny, *given)
    assert code == 2
    assert "say --executor ray too" in err


@pytest.mark.parametrize("address", ["ray://10.0.0.5:10001", "somewhere", "host:port"])
def test_what_is_no_address_is_refused(harness, tiny: Path, phantom: Path, tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    given = ("--data", phantom, "--out", tmp_path / "run", "--executor", "ray", "--ray-address", address)
    code, _, err = harness("run", tiny, *given)
    assert code == 2
    assert f"'{address}' is no address of a Ray cluster" in err
