"""What a worker says of a model's speed, and of the calibration workload beside it."""

import pytest
from harness_baselines.majority import Majority

from harness import Throughput
from harness.synthetic.easy_images import easy_images
from harness.testing.cases import registered_models
from harness.testing.subject import SIZE, Subject
from harness.workers import worker


class Timed(Majority):
    """A model that times itself."""

    def measure_throughput(self, sample, context):
        del sample, context
        return Throughput(7.0, 1.0)


@pytest.fixture
def timings(monkeypatch):
    """Let the calibration workload take 1, 2, ... seconds."""
    taken = iter(range(1, 9))
    monkeypatch.setattr(worker, "calibration_seconds", lambda *_: float(next(taken)))
    return taken


@pytest.mark.parametrize(
    ("kind", "known", "expected"),
    [
        (Majority, None, (None, 1.5)),
        (Majority, 0.25, (None, 0.25)),
        (Timed, None, (Throughput(7.0, 1.0), 1.5)),
        (Timed, 3.0, (Throughput(7.0, 1.0), 1.5)),
    ],
)
@pytest.mark.usefixtures("timings")
def test_a_known_calibration_does_where_a_model_has_no_steps(kind, known, expected):
    (registered,) = registered_models("majority")
    context = Subject(registered).context()
    assert worker._timed(kind(kind.Options()), easy_images(4, 0, SIZE), context, known) == expected
