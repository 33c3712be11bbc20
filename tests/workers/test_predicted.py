"""Probabilities of new images on their way from a worker."""

import numpy as np
import pytest

from harness.errors import CellError
from harness.workers.messages import Predicted
from harness.workers.serialization import decode, encode, ends_task

ANSWER = Predicted(np.array([[0.1, 0.9], [1 / 3, 2 / 3], [1, 0]]))


def test_what_is_sent_arrives():
    arrived = decode(encode(ANSWER))
    assert (arrived.probabilities == ANSWER.probabilities).all()
    assert arrived.probabilities.dtype == np.float64
    assert ends_task(encode(ANSWER))


@pytest.mark.parametrize(
    "message",
    [
        encode(ANSWER)[:-8],
        encode(ANSWER) + b"12345678",
        encode(ANSWER).replace(b"[3, 2]", b"[-3, -2]"),
        encode(ANSWER).replace(b"[3, 2]", b"[6]"),
        b"predicted\n{}\n",
    ],
    ids=["too few", "too many", "negative", "flat", "empty"],
)
def test_anything_else_is_refused_in_one_line(message):
    with pytest.raises(CellError) as refusal:
        decode(message)
    assert "\n" not in str(refusal.value)
