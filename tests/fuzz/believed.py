"""What a later run, or the host, has to believe: a folder of the cache and a worker's answer, spoilt."""

from __future__ import annotations

import json
from functools import cache
from random import Random

import numpy as np
from mutate import spoil_bytes, spoil_tree
from places_in_memory import scratch

from harness.cache import SEAL, Cache, find_fault
from harness.errors import DataError
from harness.plugin_api.model import EpochReport, ModelCard, Throughput
from harness.workers.messages import Failure, Fitted, Measured, Notice
from harness.workers.serialization import decode, encode

_FILES = ("pixels.npy", "deep/index.json")


@cache
def _sound() -> dict[str, bytes]:
    """The bytes of every file of a sound folder of the cache."""

    def make(folder):
        (folder / "deep").mkdir()
        for number, name in enumerate(_FILES):
            (folder / name).write_bytes(bytes(range(40 * number, 40 * number + 60)))

    folder = Cache(scratch("cache"), print).get("kind", "sound", make)
    return {name: (folder / name).read_bytes() for name in (*_FILES, SEAL)}


def make_cached(rng: Random) -> dict[str, bytes]:
    """A folder's files, of which one or two are spoilt, missing or moved."""
    files = dict(_sound())
    for name in rng.sample(sorted(files), rng.choice((0, 1, 1, 2))):
        what = rng.randrange(4)
        content = files.pop(name)
        if what == 0:
            files[name] = spoil_bytes(rng, content)
        elif what == 1:
            files[name] = content[: len(content) // 2] + bytes(len(content) - len(content) // 2)
        elif what == 2:
            files[rng.choice(("other", "deep/other", "x/y"))] = content
    return files


def read_cached(files: dict[str, bytes]) -> object:
    """Look at the folder; what is said to be whole must be what was written."""
    folder = scratch("cache") / "kind" / "spoilt"
    for name in ("pixels.npy", "deep/index.json", "deep/other", "x/y", "other", SEAL):
        (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if fault := find_fault(folder):
        raise DataError(fault)
    if any(files.get(name) != _sound()[name] for name in _FILES):
        raise AssertionError("a spoilt folder is believed")
    return True


@cache
def _answers() -> tuple[bytes, ...]:
    epoch = EpochReport("final", 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 12, 1.0)
    rows = np.tile([0.25, 0.75], (3, 1))
    return (
        *(encode(answer) for answer in (epoch, Notice("told"), Failure("why", "trace"))),
        encode(Measured(Throughput(3.0, 4.0), 0.1, 10**9, {"stage": 3.0})),
        encode(Fitted(rows, rows, ModelCard(parameters=3), 1.0, 0.1, 10**9)),
    )


def make_answer(rng: Random) -> bytes:
    """A message of a worker, its header or its bytes spoilt."""
    message = rng.choice(_answers())
    if rng.random() < 0.5:
        return spoil_bytes(rng, message)
    kind, _, rest = message.partition(b"\n")
    header, _, numbers = rest.partition(b"\n")
    return b"\n".join([kind, json.dumps(spoil_tree(rng, json.loads(header))).encode(), numbers])


def read_answer(message: bytes) -> object:
    """Read it as the host does."""
    answer = decode(message)
    if isinstance(answer, Notice | Failure) and "\n" in (answer.text if isinstance(answer, Notice) else answer.reason):
        raise AssertionError("more than a line")
    return answer
