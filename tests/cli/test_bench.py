"""Benchmarks run, tell what they measured, and keep it; how fast anything is, no test asserts."""

import json

import pytest

CONFIG = """
pixels: {size: 32}
schedule: {batch_size: 4}
models:
  densenet: {options: &tiny {growth_rate: 4, block_config: [1, 1]}}
  deep-transfer: {options: {<<: *tiny, freeze: denseblock1}}
"""
PLAIN = ["plain loop, data ready", "plain loop, data loader", "plain loop, bf16"]
SHARED = ["shared loop", "shared loop, input ready", "shared loop, bf16"]
AT_ONCE = ["plain loop, 2 processes", "shared loop, 2 cells"]
SHORT = ("--rounds", 1, "--seconds", 0.01, "--jobs", 2, "--device", "cpu")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path / "c.yaml"


def names(result):
    return [one["name"] for one in result["placings"]]


@pytest.mark.long
def test_training_several_ways(harness, config, tmp_path):
    code, out, err = harness("bench", "train", config, *SHORT, "--size", 32, "--size", 40, "--out", tmp_path / "out")
    assert code == 0, err
    assert out == (tmp_path / "out/train.md").read_text()
    plain, larger, frozen, _ = json.loads((tmp_path / "out/train.json").read_text())["results"]
    assert names(plain) == names(larger) == [*PLAIN, *SHARED, *AT_ONCE]
    kept = "plain loop, features kept", "shared loop, frozen prefix cached"
    assert names(frozen) == [*PLAIN, kept[0], *SHARED, kept[1], *AT_ONCE]
    assert "## densenet, 40 x 40 pixels" in out
    assert all(one["message"] in out for one in frozen["placings"])
    assert all(one["images_per_processor_second"] > 0 for one in plain["placings"])
    assert plain["placings"][0]["processor_ratio"] == {"median": 1, "lowest": 1, "highest": 1}


def test_models_without_steps_are_refused(harness, config):
    code, _, err = harness("bench", "train", config, "-o", "models={majority: {}}")
    assert code == 2
    assert "'majority' is not trained in steps" in err


@pytest.mark.long
def test_what_cannot_be_compiled_says_so(harness, config, monkeypatch):
    def refuse(*_arguments, **_options):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr("torch.compile", lambda _network, **_options: refuse)
    compiled = ("-o", "schedule.execution_mode=compiled", "--models", "densenet")
    code, out, err = harness("bench", "train", config, *SHORT, *compiled, "--loss-epochs", 0, "--json")
    assert code == 0, err
    how = {one["name"]: one["message"] for one in json.loads(out)["results"][0]["placings"]}
    assert how["plain loop, compiled"] == "eager, not compiled: RuntimeError"
    assert "eager, not compiled: RuntimeError: no C++ compiler" in how["shared loop, compiled"]


def test_preparing_images_several_ways(harness, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.benchmarks.images._HEIGHT", 64)
    few = ("--images", 6, "--size", 48, "--rounds", 1, "--seconds", 0.01)
    code, out, err = harness("bench", "data", *few, "--out", tmp_path)
    assert code == 0, err
    works = {result["work"]: names(result) for result in json.loads((tmp_path / "data.json").read_text())["results"]}
    for work in ("decode to uint8, PNG", "decode to uint8, JPEG"):
        assert works[work] == ["loop, torchvision", "loop, torchvision, digests", "loop, Pillow", "harness, first run"]
    assert all(f"## {work}" in out for work in works)
    assert all(any(name.startswith("harness") for name in found) for found in works.values())
