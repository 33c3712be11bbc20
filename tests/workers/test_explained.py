"""Overlays on their way from a worker."""

import numpy as np
import pytest

from harness.errors import CellError
from harness.workers.messages import Explained, NotExplained
from harness.workers.serialization import decode, encode, ends_task
from harness.workers.worker import _grey

MAPS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
ANSWER = Explained(MAPS, {"method": "Grad-CAM", "layer": "features"})


def test_what_is_sent_arrives():
    arrived = decode(encode(ANSWER))
    assert (arrived.maps == MAPS).all()
    assert (arrived.maps.dtype, arrived.how) == (np.uint8, ANSWER.how)
    assert arrived.maps.flags.writeable
    assert decode(encode(NotExplained("no\nnetwork"))) == NotExplained("no network")
    assert ends_task(encode(ANSWER))
    assert ends_task(encode(NotExplained("no network")))


@pytest.mark.parametrize(
    "message",
    [
        encode(ANSWER)[:-1],
        encode(ANSWER) + b"1",
        encode(ANSWER).replace(b"[2, 3, 3]", b"[-2, 3, -3]"),
        encode(ANSWER).replace(b"[2, 3, 3]", b"[18]"),
        encode(ANSWER).replace(b'"features"', b"7"),
        encode(Explained(MAPS, {str(number): "" for number in range(21)})),
    ],
    ids=["too few", "too many", "negative", "flat", "no text", "wordy"],
)
def test_anything_else_is_refused_in_one_line(message):
    with pytest.raises(CellError) as refusal:
        decode(message)
    assert "\n" not in str(refusal.value)


def test_words_are_one_line_of_what_can_be_printed():
    assert decode(encode(Explained(MAPS, {"layer": "a\x1b[31m\nb"}))).how == {"layer": "a [31m b"}


def test_maps_become_grey():
    assert (_grey(np.array([[[0, 0.5], [0.998, 1]]]), (1, 2, 2)) == [[[0, 128], [254, 255]]]).all()


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        (np.zeros((1, 2, 3)), r"shape \(1, 2, 3\), not \(1, 2, 2\)"),
        (np.full((1, 2, 2), np.nan), "between 0 and 1"),
        (np.full((1, 2, 2), -0.1), "between 0 and 1"),
        (np.full((1, 2, 2), 1.1), "between 0 and 1"),
    ],
)
def test_what_is_no_map_is_refused(maps, reason):
    with pytest.raises(ValueError, match=reason):
        _grey(maps, (1, 2, 2))
