"""How often work is done to time it."""

from types import SimpleNamespace

import pytest
import torch

from harness.training import timing


@pytest.mark.parametrize(
    ("durations", "warm_ups", "median", "times"),
    [
        ([9.0, 3.0, 5.0], 1, 3.0, 2),  # slow work: once beside the warm-up
        ([9.0, 3.0, 5.0], 0, 9.0, 1),
        ([9.0] + [0.1] * 20, 1, 0.1, 2),
        ([0.5] + [0.1] * 20, 1, 0.1, 12),
    ],
)
def test_work_is_done_no_more_often_than_it_needs(monkeypatch, durations, warm_ups, median, times):
    now, left = SimpleNamespace(seconds=0.0), [*durations]

    def work():
        now.seconds += left.pop(0)

    monkeypatch.setattr(timing, "clock", lambda _device: now.seconds)
    assert timing.median_seconds(work, torch.device("cpu"), 0.5, warm_ups) == pytest.approx(median)
    assert len(durations) - len(left) == times
