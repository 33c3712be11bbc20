"""What all benchmarks share: one thread, a picture as BreakHis has them, and the unit that they are timed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from calibration import calibration_seconds
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits

from harness.synthetic import painting as paint
from harness.synthetic.files import keyed_rng
from harness.synthetic.painting import PictureArray, Tissue

ROUNDS = 20


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Leave the other cores out: how many are free changes from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture
def timed(benchmark: BenchmarkFixture) -> Callable[..., Any]:
    """Return a function that times another: ``timed(function, *arguments, rounds=20)`` gives that one's result.

    Rounds alternate with rounds of the calibration, whose fastest goes into the report. A machine's speed depends on
    what its other cores do, so a calibration a minute away says little.
    """

    def run(function: Callable[..., Any], *arguments: Any, rounds: int = ROUNDS) -> Any:
        units: list[float] = []
        result = benchmark.pedantic(
            function, args=arguments, setup=lambda: units.append(calibration_seconds()), rounds=rounds, warmup_rounds=1
        )
        benchmark.extra_info["calibration_seconds"] = min(units)
        return result

    return run


@pytest.fixture(scope="session")
def picture() -> PictureArray:
    """Return generated tissue of the official size: uint8 (3, 460, 700)."""
    rng = keyed_rng("benchmark")
    tissue = Tissue(0.20, 2.2, 2.8, 0.55, 1.20, 1.35, 0.32, 0.20, 1.0)
    return paint.paint_tissue(tissue, paint.draw_look(rng), paint.frame_at(200, 460, 700), rng)
