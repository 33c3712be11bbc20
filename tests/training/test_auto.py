import sys

import pytest
import torch

from harness.training.auto import device_type_of, resolve_execution_mode, resolve_precision


def test_execution_modes_by_device():
    assert [resolve_execution_mode(wish, "cpu") for wish in ("auto", "eager", "captured")] == ["eager"] * 3
    assert [resolve_execution_mode(wish, "cuda") for wish in ("auto", "eager")] == ["captured", "eager"]
    assert {resolve_execution_mode("compiled", device) for device in ("cpu", "cuda")} == {"compiled"}


def test_precision_by_device():
    assert [resolve_precision("auto", device) for device in ("cpu", "cuda")] == ["float32", "bf16"]
    assert [resolve_precision("bf16", device) for device in ("cpu", "cuda")] == ["bf16"] * 2


@pytest.mark.parametrize(("wish", "device_type"), [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda")])
def test_a_device_that_is_named_needs_no_torch(wish, device_type):
    assert device_type_of(wish) == device_type


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems are left to torch")
def test_auto_is_the_cpu_only_where_no_device_could_be_another(monkeypatch, tmp_path):
    monkeypatch.setattr("harness.training.auto._DEVICES", tmp_path)
    (tmp_path / "null").touch()
    assert device_type_of("auto") == "cpu"
    (tmp_path / "nvidia0").touch()
    assert device_type_of("auto") is None


def test_auto_is_what_torch_says_or_left_to_it():
    assert device_type_of("auto") in {None, "cuda" if torch.cuda.is_available() else "cpu"}
