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
from harness.training.frozen import refuse_fresh_frozen
from harness.training.weights import Weights, load_matching_weights, read_weights, without_counters

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
        state = read_weights(str(tmp_path / name)).tensors
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
        load_matching_weights(network, Weights({"body.weight": torch.ones(3, 9)}), head="head")


def batch_norms() -> nn.Sequential:
    layers = [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))


def trained() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = batch_norms()
    for module in network:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 1.5)
            nn.init.constant_(module.bias, -0.2)
            module.running_mean.fill_(0.3)
            module.running_var.fill_(4.0)
    return network.state_dict()


def is_loaded(network: nn.Sequential) -> bool:
    norm = network[1]
    found = [float(values.detach()[0]) for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var)]
    return found == pytest.approx([1.5, -0.2, 0.3, 4.0])


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("prefix", ["module.", "backbone.", "module.net.features."])
@pytest.mark.parametrize("whose", ["theirs", "ours"])
def test_a_common_prefix_is_no_difference(tmp_path, ending, prefix, whose):
    own = nn.Sequential(batch_norms()) if whose == "ours" else batch_norms()
    state = trained() if whose == "ours" else {prefix + name: tensor for name, tensor in trained().items()}
    file = tmp_path / f"w.{ending}"
    (safetensors.torch.save_file if ending == "safetensors" else torch.save)(state, file)
    fresh = load_matching_weights(own, read_weights(str(file)), "0.6" if whose == "ours" else "6")
    assert [name.rpartition(".")[2] for name in fresh] == ["weight", "bias"]
    assert is_loaded(own[0] if whose == "ours" else own)


def test_a_head_under_its_own_name_does_not_hide_a_prefix():
    state = {name if name.startswith("6.") else f"backbone.{name}": tensor for name, tensor in trained().items()}
    network = batch_norms()
    assert load_matching_weights(network, Weights(state), "6") == ["6.weight", "6.bias"]
    assert is_loaded(network)


@pytest.mark.parametrize("kept", [[], ["0.weight"], ["1.weight", "1.bias"]])
def test_weights_of_which_hardly_any_fit_are_refused(kept):
    state = {name if name in kept else f"x{number}": tensor for number, (name, tensor) in enumerate(trained().items())}
    first = next(name for name in trained() if name not in kept)
    with pytest.raises(UsageError, match=rf"weights do not fit: {len(kept)} of the network's 10 .*{first}; they have"):
        load_matching_weights(batch_norms(), Weights(state), "6")


def test_tensors_are_not_paired_by_place_with_those_of_another_part():
    swapped = {f"a.{name}": tensor for name, tensor in sorted(trained().items(), key=lambda one: one[0][::-1])}
    renamed = {name.replace("1.", "norm1.").replace("3.", "norm3."): tensor for name, tensor in swapped.items()}
    with pytest.raises(UsageError, match="weights do not fit"):
        load_matching_weights(
            batch_norms(), Weights({f"b.{name}": t for name, t in renamed.items()}, in_order=True), "6"
        )


IMAGES = torch.rand(2, 3, 16, 16)


def test_frozen_layers_that_stay_random_are_refused():
    network = batch_norms()
    with pytest.raises(UsageError, match=r"no weights are loaded into 0\.weight and 4 more tensors.*fresh: allowed"):
        refuse_fresh_frozen(network, without_counters(network.state_dict()), ["0", "1"], IMAGES)
    refuse_fresh_frozen(network, ["6.weight"], ["0", "1"], IMAGES)


class Gate(nn.Module):
    def __init__(self, start: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((8,), start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale.view(-1, 1, 1)


@pytest.mark.parametrize("start", [1.0, 1 + 2**-23, 0.999])
def test_a_frozen_gate_may_be_fresh_while_it_changes_nothing(start):
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), Gate(start)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    fresh = ["0.1.scale"]
    if start >= 1:  # or one in the last bit: what is summed in turn is rounded in turn
        refuse_fresh_frozen(network, fresh, ["0"], IMAGES)
    else:
        with pytest.raises(UsageError, match=r"0\.1\.scale"):
            refuse_fresh_frozen(network, fresh, ["0"], IMAGES)


@pytest.mark.parametrize("names", [("student.", "teacher."), ("teacher.", "student.")])
def test_two_networks_in_one_file_are_not_chosen_between(names):
    state = {prefix + name: tensor for prefix in names for name, tensor in trained().items()}
    with pytest.raises(UsageError, match=f"hold the network under '{names[0]}' and '{names[1]}'"):
        load_matching_weights(batch_norms(), Weights(state), "6")
    extra = {**state, **trained()}  # one under the network's own names leaves no doubt
    assert load_matching_weights(batch_norms(), Weights(extra), "6") == ["6.weight", "6.bias"]


def test_names_that_match_by_chance_do_not_keep_order_from_being_tried():
    ours = nn.Sequential()
    ours.add_module("body", nn.Sequential(*batch_norms()[:6]))
    ours.add_module("head", nn.Linear(8, 2))
    fresh = load_matching_weights(ours, Weights({f"x.{k}": v for k, v in trained().items()}, in_order=True), "head")
    assert fresh == ["head.weight", "head.bias"]
    assert is_loaded(ours.body)


def test_layers_whose_numbers_match_by_chance_are_not_two_networks():
    names = ["a.0.weight", "b.0.weight", *(f"x{place}" for place in range(len(trained()) - 2))]
    numbered = dict(zip(names, trained().values(), strict=True))
    network = batch_norms()
    assert load_matching_weights(network, Weights(numbered, in_order=True), "6") == ["6.weight", "6.bias"]
    assert is_loaded(network)


def test_a_buffer_that_nothing_learns_is_not_random():
    network = batch_norms()
    network[0].register_buffer("mean", torch.zeros(3))
    refuse_fresh_frozen(network, ["0.mean"], ["0"], IMAGES)
