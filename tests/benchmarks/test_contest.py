"""What benchmarks say of speed is right, and everybody does the same work."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from harness.benchmarks import augmentation, staining
from harness.benchmarks.contest import Contestant, hold, repeat
from harness.benchmarks.cores import on_cores, processor_seconds
from harness.benchmarks.loops import PlainLoop, ready_batches
from harness.benchmarks.losses import compare_losses
from harness.data.augment import VIEWS
from harness.data.decode import resize_square
from harness.data.stain import PublishedMacenko, WhiteBalance
from harness.plugin_api.discovery import discover
from harness.plugin_api.schedule import Schedule
from harness.threads import usable_cores
from harness.training.concurrent import TrainingSpec

BUSY = "import time\nwhile time.process_time() < 0.5: pass"


@pytest.fixture
def square(picture):
    return resize_square(torch.from_numpy(picture), 96, "squash").numpy()


def test_medians_and_ranges_of_ratios_within_rounds():
    speeds = {"base": iter([9.0, 1.0, 2.0, 4.0]), "other": iter([9.0, 3.0, 4.0, 4.0])}
    everybody = [Contestant(name, lambda _, s=s: (int(next(s) * 10), 10.0), "") for name, s in speeds.items()]
    base, other = hold(everybody, 3, 1.0)
    assert (base.images_per_second, base.ratio.median) == (2.0, 1.0)
    assert other.images_per_second == 4.0
    assert (other.ratio.median, other.ratio.lowest, other.ratio.highest) == (2.0, 1.0, 3.0)


def test_everybody_begins_a_round_in_turn():
    seen: list[str] = []

    def work(name: str):
        return lambda _: (1, float(seen.append(name) is None))

    hold([Contestant(name, work(name), "") for name in "abc"], 3, 1.0)
    assert "".join(seen) == "abc" + "abc" + "bca" + "cab"


def test_processor_time_counts_processes_that_have_ended():
    before, own = processor_seconds(), time.process_time()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert processor_seconds() - before - (time.process_time() - own) >= 0.4  # the clock of what has ended ticks


@pytest.mark.skipif(sys.platform != "linux", reason="cores are chosen on Linux alone")
def test_processes_started_on_one_core_stay_there():
    ask = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
    allowed = os.sched_getaffinity(0)
    with on_cores(1):
        assert subprocess.run(ask, check=True, capture_output=True, text=True).stdout == "1\n"
    assert os.sched_getaffinity(0) == allowed
    assert usable_cores() == len(allowed)


def test_work_is_done_at_least_once():
    assert repeat(lambda: None, 7)(0.0)[0] == 7


@pytest.mark.parametrize("way", [staining.macenko_by_numpy, staining.macenko_by_torch, staining.macenko_by_tables])
def test_stain_is_normalised_alike(way, square):
    ours = PublishedMacenko()(square)
    assert ours is not None
    assert np.abs(np.asarray(way(square)).astype(int) - ours).max() <= 2


@pytest.mark.parametrize("way", [staining.balance_by_numpy, staining.balance_by_tables])
def test_white_is_balanced_alike(way, square):
    assert np.abs(way(square).astype(int) - WhiteBalance()(square)).max() <= 1


@pytest.mark.parametrize("way", [augmentation.view_by_view, augmentation.by_groups])
def test_views_are_shown_alike(way, square):
    images = torch.from_numpy(square).repeat(len(VIEWS), 1, 1, 1)
    views = torch.arange(len(VIEWS)).flip(0)
    shown, ours = way(images, views), augmentation.by_harness(images, views)
    assert torch.allclose(shown, ours, atol=1e-5)
    assert shown.stride() == ours.stride()


@pytest.fixture
def order():
    """A tiny densenet, to be trained on the CPU."""
    densenet = discover().find("densenet")
    schedule = Schedule(epochs=1, batch_size=4, augmentation="random", learning_rate=0.01)
    options = {"growth_rate": 4, "block_config": [1, 1]}
    return TrainingSpec(densenet.plugin, "densenet", options, 2, 32, schedule, "cpu", "eager", 1)


def test_both_loops_come_to_the_same_losses(order):
    curves = {curve.name: curve.losses for curve in compare_losses(order, 2)}
    assert list(curves) == ["plain loop, float32", "shared loop, float32", "plain loop, bf16", "shared loop, bf16"]
    assert np.allclose(curves["plain loop, float32"], curves["shared loop, float32"], atol=1e-6)
    assert np.allclose(curves["plain loop, bf16"], curves["shared loop, bf16"], atol=2e-2)
    assert curves["plain loop, float32"][0] != curves["plain loop, float32"][1]


def test_the_plain_loop_trains_a_compiled_network_like_its_own(order):
    losses = {}
    for compiled in (False, True):
        torch.manual_seed(0)
        loop = PlainLoop.of(order)
        forward = torch.compile(loop.network, backend="eager") if compiled else None
        batches = ready_batches(order.sample(), order.make().normalisation, order.schedule)
        step = loop.step(batches, forward)
        losses[compiled] = [step().item() for _ in range(3)]
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)
    assert losses[True][0] != losses[True][1]
