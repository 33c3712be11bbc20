"""Weights files, spoilt: safetensors with another header, PyTorch files with another pickle, and plain bytes."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from functools import cache
from random import Random

import safetensors.torch
import torch
from mutate import spoil_bytes, spoil_tree
from places_in_memory import scratch

from harness.training.weights import read_weights

_STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2), "n": torch.tensor(3)}


class _Executes:
    """What a hostile pickle holds: a call."""

    def __reduce__(self):
        return os.mkdir, (str(scratch("weights") / "executed"),)


@cache
def _saved(kind: str) -> bytes:
    if kind == "safetensors":
        return safetensors.torch.save(_STATE)
    buffer = io.BytesIO()
    torch.save(_STATE, buffer, _use_new_zipfile_serialization=kind == "zip")
    return buffer.getvalue()


def make_weights(rng: Random) -> tuple[str, bytes]:
    """A file's ending and its bytes."""
    kind = rng.randrange(6)
    if kind < 3:
        return ".safetensors", _safetensors(rng) if kind else spoil_bytes(rng, _saved("safetensors"))
    if kind == 3:
        content = pickle.dumps(
            rng.choice((_Executes(), {"a": _Executes()}, {"a": 1}, [1], {1: torch.zeros(1)})), rng.randrange(6)
        )
    else:
        content = _torch_zip(rng) if kind == 4 else _saved("legacy")
    return rng.choice((".pt", ".pth", ".bin")), spoil_bytes(rng, content) if rng.random() < 0.5 else content


def read_sent_weights(sent: tuple[str, bytes]) -> object:
    """Read them; nothing may be executed, and what is read must be tensors by name."""
    ending, content = sent
    file = scratch("weights") / f"sent{ending}"
    file.write_bytes(content)
    state = read_weights(str(file)).tensors
    if (scratch("weights") / "executed").exists():
        raise AssertionError("the file was executed")
    if not all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()):
        raise AssertionError("not tensors by name")
    return state


def _safetensors(rng: Random) -> bytes:
    content = _saved("safetensors")
    (length,) = struct.unpack("<Q", content[:8])
    header = json.dumps(spoil_tree(rng, json.loads(content[8 : 8 + length]))).encode()
    claimed = len(header) if rng.random() < 0.8 else rng.choice((0, 1, 2**40, 2**63, 2**64 - 1))
    return struct.pack("<Q", claimed) + header + content[8 + length :]


def _torch_zip(rng: Random) -> bytes:
    """The zip of ``torch.save`` with one entry spoilt, its checksum true."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_saved("zip"))) as old, zipfile.ZipFile(packed, "w") as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            content = old.read(name)
            new.writestr(name, spoil_bytes(rng, content, 2) if name == chosen else content)
    return packed.getvalue()
