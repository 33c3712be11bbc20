"""Serialization of answers as JSON and raw numbers, nothing pickled.

Unpickling can execute whatever the sender likes. The host therefore takes text and numbers, checks every field, and
builds the answers itself.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from harness.errors import CellError
from harness.plugin_api.model import EpochReport, ModelCard, Throughput
from harness.text import printable
from harness.workers.messages import (
    Answer,
    Explained,
    Failure,
    FeaturesMade,
    Fitted,
    ImagesDone,
    Measured,
    NotExplained,
    Notice,
    Predicted,
    PrefixFound,
    Tried,
)

FRAME_BYTES = 64 << 20
"""More than any answer needs; a longer one is refused before it fills the host's memory."""

TAKEN = b"taken\n"
"""Says that a task has been read; it is for the supervisor alone."""

_LENGTH_BYTES = 8
_SPEEDS = (1e-9, 1e12)
Size = Annotated[int, Field(ge=0, le=FRAME_BYTES)]
_REASON_CHARACTERS, _TRACEBACK_CHARACTERS = 600, 50_000


@dataclass(frozen=True)
class _FittedHeader:
    """A :class:`Fitted` with shapes in place of arrays, whose numbers follow as float64."""

    validation: tuple[Size, Size]
    test: tuple[Size, Size]
    card: ModelCard
    fit_seconds: float
    predict_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class _ExplainedHeader:
    """An :class:`Explained` with a shape in place of its maps, whose bytes follow."""

    maps: tuple[Size, Size, Size]
    how: Annotated[dict[str, str], Field(max_length=20)]


@dataclass(frozen=True)
class _PredictedHeader:
    """A :class:`Predicted` with a shape in place of its probabilities, which follow as float64."""

    probabilities: tuple[Size, Size]


_KINDS: dict[str, TypeAdapter[Any]] = {
    "epoch": TypeAdapter(EpochReport),
    "notice": TypeAdapter(Notice),
    "fitted": TypeAdapter(_FittedHeader),
    "measured": TypeAdapter(Measured),
    "prefix": TypeAdapter(PrefixFound),
    "images done": TypeAdapter(ImagesDone),
    "features": TypeAdapter(FeaturesMade),
    "tried": TypeAdapter(Tried),
    "explained": TypeAdapter(_ExplainedHeader),
    "not explained": TypeAdapter(NotExplained),
    "predicted": TypeAdapter(_PredictedHeader),
    "failure": TypeAdapter(Failure),
}
_NAMES: dict[type[Answer], str] = {
    EpochReport: "epoch",
    Notice: "notice",
    Fitted: "fitted",
    Measured: "measured",
    PrefixFound: "prefix",
    ImagesDone: "images done",
    FeaturesMade: "features",
    Tried: "tried",
    Explained: "explained",
    NotExplained: "not explained",
    Predicted: "predicted",
    Failure: "failure",
}


def encode(answer: Answer) -> bytes:
    """Write an answer as a line with its kind, a line of JSON, and the bytes of its arrays.

    Raises:
        TypeError: A field holds something that is neither text nor number.
    """
    values, numbers = _values(answer), b""
    if isinstance(answer, Measured) and answer.throughput is not None:
        values["throughput"] = _values(answer.throughput)
    if isinstance(answer, Fitted):
        for name in ("validation", "test"):
            array = values[name]
            values[name] = array.shape
            numbers += array.astype("<f8").tobytes()
        values["card"] = _values(answer.card)
    if isinstance(answer, Explained):
        values |= {"maps": answer.maps.shape, "how": dict(answer.how)}
        numbers = answer.maps.astype(np.uint8).tobytes()
    if isinstance(answer, Predicted):
        values = {"probabilities": answer.probabilities.shape}
        numbers = answer.probabilities.astype("<f8").tobytes()
    return b"\n".join([_NAMES[type(answer)].encode(), json.dumps(values, default=_plain).encode(), numbers])


def decode(message: bytes) -> Answer:
    """Build an answer from what a plugin's process has sent.

    Raises:
        CellError: It is no answer; one line says what is wrong with it.
    """
    kind, _, rest = message.partition(b"\n")
    header, _, numbers = rest.partition(b"\n")
    adapter = _KINDS.get(kind.decode(errors="replace"))
    if adapter is None:
        raise CellError(f"the worker process sent something that is no answer: {kind[:40]!r}")
    try:
        answer = adapter.validate_json(header, strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise CellError(f"the worker process sent a faulty '{kind.decode()}': {place}: {fault['msg']}") from None
    _refuse_vast_numbers(asdict(answer))
    return _built(answer, numbers)


def ends_task(message: bytes) -> bool:
    """Return whether nothing follows this message, as it does an epoch, a notice or a count of images."""
    return not message.startswith((b"epoch\n", b"notice\n", b"images done\n", TAKEN))


def framed(message: bytes) -> bytes:
    """Put a message's length before it."""
    return len(message).to_bytes(_LENGTH_BYTES) + message


class Frames:
    """Takes bytes as they come and gives whole messages."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def take(self, data: bytes) -> list[bytes]:
        """Return the messages that these bytes complete.

        Raises:
            CellError: A message says that it is longer than any answer may be.
        """
        self._waiting += data
        whole = []
        while len(self._waiting) >= _LENGTH_BYTES:
            length = int.from_bytes(self._waiting[:_LENGTH_BYTES])
            if length > FRAME_BYTES:
                raise CellError(f"the worker process wanted to send more than {FRAME_BYTES >> 20} MB")
            end = _LENGTH_BYTES + length
            if len(self._waiting) < end:
                break
            whole.append(bytes(self._waiting[_LENGTH_BYTES:end]))
            del self._waiting[:end]
        return whole


def _values(record: Answer | ModelCard | Throughput) -> dict[str, Any]:
    """Return a record's fields as they are; a deep copy of a plugin's objects would be whatever they make of it."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _built(answer: Any, numbers: bytes) -> Answer:
    """Put arrays in the place of their shapes, refuse impossible numbers, and cut what is for a person to one line."""
    match answer:
        case _FittedHeader():
            return _with_arrays(answer, numbers)
        case _ExplainedHeader():
            return _with_maps(answer, numbers)
        case _PredictedHeader(probabilities=shape):
            return Predicted(_floats(numbers, prod(shape)).reshape(shape))
        case Measured(throughput=Throughput() as speed):
            _refuse_impossible_speeds(speed)
        case Notice(text=text) | NotExplained(reason=text):
            return type(answer)(_one_line(text))
        case Failure():
            return _short(answer)
    built: Answer = answer
    return built


def _with_arrays(header: _FittedHeader, numbers: bytes) -> Fitted:
    values = _floats(numbers, prod(header.validation) + prod(header.test))
    validation, test = np.split(values, [prod(header.validation)])
    return Fitted(
        validation.reshape(header.validation),
        test.reshape(header.test),
        header.card,
        header.fit_seconds,
        header.predict_seconds,
        header.peak_memory_bytes,
    )


def _floats(numbers: bytes, count: int) -> NDArray[np.float64]:
    """Read so many probabilities."""
    if len(numbers) != 8 * count:
        raise CellError("the worker process sent fewer or more probabilities than it announced")
    return np.frombuffer(numbers, "<f8").astype(np.float64)


def _with_maps(header: _ExplainedHeader, numbers: bytes) -> Explained:
    if len(numbers) != prod(header.maps):
        raise CellError("the worker process sent fewer or more pixels of maps than it announced")
    how = {_one_line(name): _one_line(words) for name, words in header.how.items()}
    return Explained(np.frombuffer(numbers, np.uint8).reshape(header.maps).copy(), how)


def _refuse_vast_numbers(values: dict[str, Any]) -> None:
    """Python's whole numbers have no end, those of the store's tables have."""
    for name, value in values.items():
        if isinstance(value, dict):
            _refuse_vast_numbers(value)
        elif isinstance(value, int) and abs(value) >= 1 << 62:
            raise CellError(f"the worker process sent a number beyond 62 bits as '{name}'")


def _refuse_impossible_speeds(throughput: Throughput) -> None:
    for name, speed in _values(throughput).items():
        if speed is not None and not _SPEEDS[0] <= speed <= _SPEEDS[1]:
            raise CellError(f"measure_throughput() has reported {name} = {speed:g}, which is no speed")


def _short(failure: Failure) -> Failure:
    return Failure(_one_line(failure.reason), failure.traceback[-_TRACEBACK_CHARACTERS:], failure.cause)


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())[:_REASON_CHARACTERS]


def _plain(value: Any) -> Any:
    """Turn a scalar of NumPy or torch into a number."""
    if callable(getattr(value, "item", None)):
        return value.item()
    raise TypeError(f"a {type(value).__name__} where a number or text belongs")
