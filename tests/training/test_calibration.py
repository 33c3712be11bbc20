"""A speed in turns with the calibration workload does not depend on what slows a machine down for a while."""

from types import SimpleNamespace

import pytest
import torch

from harness.plugin_api.schedule import Schedule
from harness.training import calibration

SCHEDULE = Schedule(batch_size=16)


@pytest.fixture
def machine(monkeypatch):
    """Time steps of 20 ms, and 10 ms of the workload, on a machine that is three times as slow for a while."""
    steps = []

    def step_of(seconds):
        def step():
            steps.append(seconds)
            return seconds * (3 if 10 < len(steps) < 30 else 1)

        return SimpleNamespace(timed_step=lambda: step)

    monkeypatch.setattr(calibration, "_trainer", lambda *_: step_of(0.01))
    return SimpleNamespace(trainer=step_of(0.02), steps=steps)


def speed(trainer):
    return calibration.calibrated_speed(trainer, 32, SCHEDULE, torch.device("cpu"))


def test_images_trained_on_while_the_workload_takes_its_steps(machine):
    assert speed(machine.trainer) == pytest.approx(20 * 16 * 0.5)
    assert len(machine.steps) > 60


def test_slow_steps_are_timed_in_fewer_turns(machine, monkeypatch):
    monkeypatch.setattr(calibration, "_MOST_SECONDS", 0.0)
    assert speed(machine.trainer) == pytest.approx(20 * 16 * 0.5, rel=0.5)
    assert len(machine.steps) < 40
