"""Weights that somebody sent: nothing in them runs, and what is wrong with them is one clear line."""

from __future__ import annotations

import json
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from harness.errors import DataError, UsageError
from harness.training.weights import load_by_name, read_weights

STATE = {"body.weight": torch.ones(3, 2), "body.bias": torch.zeros(3)}


class Executes:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def test_sound_files_are_read(tmp_path):
    safetensors.torch.save_file(STATE, tmp_path / "a.safetensors")
    torch.save({"state_dict": {name: tensor.half() for name, tensor in STATE.items()}}, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        state = read_weights(str(tmp_path / name))
        assert {name: (tensor.dtype, tensor.tolist()) for name, tensor in state.items()} == {
            name: (torch.float32, tensor.tolist()) for name, tensor in STATE.items()
        }


@pytest.mark.parametrize("ending", [".pt", ".pth", ".bin"])
@pytest.mark.parametrize("packed", ["pickle", "torch", "inside"])
def test_a_pickle_that_executes_is_refused_unread(tmp_path, ending, packed):
    evil, file = Executes(tmp_path / "executed"), tmp_path / f"evil{ending}"
    if packed == "pickle":
        file.write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil if packed == "torch" else {"body.weight": torch.ones(1), "x": evil}, file)
    with pytest.raises(DataError, match=rf"evil\{ending}"):
        read_weights(str(file))
    assert not (tmp_path / "executed").exists()


def test_a_pickle_under_the_name_of_safetensors_is_no_safetensors(tmp_path):
    file = tmp_path / "evil.safetensors"
    file.write_bytes(pickle.dumps(Executes(tmp_path / "executed")))
    with pytest.raises(DataError, match=r"cannot read weights .*evil\.safetensors"):
        read_weights(str(file))
    assert not (tmp_path / "executed").exists()


def safetensors_of(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


HUGE = {"a": {"dtype": "F32", "shape": [1 << 20, 1 << 20], "data_offsets": [0, 1 << 42]}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        safetensors.torch.save(STATE)[:-4],
        safetensors.torch.save(STATE)[:20],
        safetensors_of(HUGE),
        safetensors_of({"a": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 0]}}),
        safetensors_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors_of({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors_of({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors_of({"a": 3}),
        safetensors_of([]),
        safetensors_of({}, length=1 << 60),
    ],
)
def test_damaged_safetensors_are_told(tmp_path, content):
    file = tmp_path / "sent.safetensors"
    file.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"cannot read weights .*sent\.safetensors") as caught:
        read_weights(str(file))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"no weights", b"PK\3\4", pickle.dumps([1, 2])])
def test_damaged_files_of_torch_are_told(tmp_path, content):
    (tmp_path / "sent.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"sent\.pt"):
        read_weights(str(tmp_path / "sent.pt"))


@pytest.mark.parametrize("held", [[torch.ones(1)], {"a": 3}, {"a": {"b": torch.ones(1)}}, torch.ones(1)])
def test_what_is_no_state_dict_is_told(tmp_path, held):
    torch.save(held, tmp_path / "sent.pt")
    with pytest.raises(DataError, match=r"sent\.pt holds no state dict"):
        read_weights(str(tmp_path / "sent.pt"))


def test_a_pipe_or_a_folder_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("pipe.pt", "folder.safetensors", "absent.pt"):
        with pytest.raises(DataError, match="no such weights file"):
            read_weights(str(tmp_path / name))


def test_a_tensor_of_another_shape_is_named():
    network = nn.Sequential()
    network.add_module("body", nn.Linear(2, 3))
    with pytest.raises(UsageError, match=r"body\.weight is \[3, 9\], the network has \[3, 2\]"):
        load_by_name(network, {"body.weight": torch.ones(3, 9)}, head="head")
