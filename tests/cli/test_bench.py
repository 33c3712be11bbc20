"""Benchmarks run, tell what they measured, and keep it; how fast anything is, no test asserts."""

import json

import pytest

from harness.benchmarks import images
from harness.benchmarks.contest import Contestant, hold
from harness.benchmarks.report import images_report

CONFIG = """
pixels: {size: 32}
schedule: {batch_size: 4}
models:
  densenet: {options: &tiny {growth_rate: 4, block_config: [1, 1]}}
  deep-transfer: {options: {<<: *tiny, freeze: denseblock1}}
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path / "c.yaml"


def test_training_several_ways(harness, config, tmp_path):
    short = ("--rounds", 1, "--seconds", 0.01, "--jobs", 2, "--device", "cpu")
    code, out, err = harness("bench", "train", config, *short, "--out", tmp_path / "out")
    assert code == 0, err
    assert out == (tmp_path / "out/train.md").read_text()
    plain, frozen = json.loads((tmp_path / "out/train.json").read_text())["results"]
    names = ["plain loop, data ready", "plain loop, data loader", "shared loop", "shared loop, input ready"]
    assert [one["name"] for one in plain["placings"]] == [*names, "shared loop, 2 cells"]
    assert [one["name"] for one in frozen["placings"]] == [
        *names,
        "shared loop, frozen prefix cached",
        "shared loop, 2 cells",
    ]
    assert all(one["images_per_second"] > 0 for one in plain["placings"])
    assert plain["placings"][0]["ratio"] == 1
    assert "frozen prefix cached" in out


def test_models_without_steps_are_refused(harness, config):
    code, _, err = harness("bench", "train", config, "-o", "models={majority: {}}")
    assert code == 2
    assert "'majority' is not trained in steps" in err


def test_preparing_images_two_ways(monkeypatch):
    monkeypatch.setattr(images, "_HEIGHT", 32)
    results = images.measure_images(96, 16, rounds=1, seconds=0.01)
    page = images_report(results, {"rounds": 1}).to_markdown()
    assert all(result.placings[0].name == "naive loop" and result.work in page for result in results)


def test_medians_and_ratios_within_rounds():
    speeds = {"base": iter([9.0, 1.0, 2.0, 4.0]), "other": iter([9.0, 3.0, 4.0, 8.0])}
    base, other = hold([Contestant(name, lambda _, s=s: next(s), 0.0) for name, s in speeds.items()], 3, 1.0)
    assert (base.images_per_second, base.ratio) == (2.0, 1.0)
    assert (other.images_per_second, other.ratio) == (4.0, 2.0)
