import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CellError
from harness.plugin_api.model import EpochReport, ModelCard, Throughput
from harness.workers.messages import Failure, Fitted, Measured
from harness.workers.serialization import FRAME_BYTES, Frames, decode, encode, ends_task, framed

EPOCH = EpochReport("final", 1, float("nan"), 0.5, 0.5, float("inf"), 0.5, 0.5, 64, 1.5)
FITTED = Fitted(np.array([[0.25, 0.75]]), np.array([[0.1, 0.9], [1 / 3, 2 / 3]]), ModelCard(7), 1.0, 0.5, 10**9)


def fields(answer):
    return {
        name: np.asarray(value).tolist() if name in {"validation", "test"} else value
        for name, value in vars(answer).items()
    }


@pytest.mark.parametrize(
    "answer", [EPOCH, FITTED, Measured(Throughput(1.5, 2.5), None, 7, {"a": 1.5}), Failure("no", "where", "memory")]
)
def test_what_is_sent_arrives(answer):
    arrived = decode(encode(answer))
    assert type(arrived) is type(answer)
    assert repr(fields(arrived)) == repr(fields(answer))
    assert ends_task(encode(answer)) == (answer is not EPOCH)


def test_scalars_of_libraries_become_numbers():
    card = ModelCard(parameters=np.int64(3), forward_flop=np.int32(5))
    arrived = decode(encode(Fitted(FITTED.validation, FITTED.test, card, np.float32(1), 0.5, 1)))
    assert (arrived.card.parameters, arrived.card.forward_flop, arrived.fit_seconds) == (3, 5, 1.0)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x80\x04cposix\nsystem\n.",
        b"fitted\n{}\n",
        b"epoch\n[]\n",
        encode(FITTED)[:-8],
        encode(FITTED) + b"12345678",
        encode(EPOCH).replace(b'"images_seen": 64', b'"images_seen": "64"'),
        encode(EPOCH).replace(b'"images_seen": 64', b'"images_seen": 1' + b"0" * 30),
        encode(FITTED).replace(b"[1, 2]", b"[-1, -2]"),
    ],
)
def test_anything_else_is_refused_in_one_line(message):
    with pytest.raises(CellError) as refusal:
        decode(message)
    assert "\n" not in str(refusal.value)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(message):
    for kind in (b"", b"epoch\n", b"fitted\n", b"failure\n"):
        with pytest.raises(CellError):
            decode(kind + message)


def test_a_reason_is_one_line_whatever_it_says():
    told = decode(encode(Failure("one\ntwo \x1b[31m" + "x" * 10_000)))
    assert told.reason.startswith("one two [31mx")
    assert len(told.reason) <= 600


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_frames_come_whole_however_they_are_cut(messages, data):
    stream, frames, arrived = b"".join(map(framed, messages)), Frames(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        arrived += frames.take(stream[:cut])
        stream = stream[cut:]
    assert arrived == messages


def test_a_frame_that_would_fill_the_memory_is_refused():
    with pytest.raises(CellError, match="64 MB"):
        Frames().take((FRAME_BYTES + 1).to_bytes(8, "big"))


def test_nothing_but_text_and_numbers_is_sent():
    with pytest.raises(TypeError, match="a object where"):
        encode(Measured(Throughput(object(), 1.0), None, 1))
    assert json.loads(encode(Measured(None, 2.0, 3)).splitlines()[1])["peak_memory_bytes"] == 3
