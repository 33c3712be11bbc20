"""Two networks that could compute different things are never described alike."""

from __future__ import annotations

import enum
import functools
import json
import logging
import os
import random
import subprocess
import sys
import threading
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from torch import nn

from harness.errors import UsageError
from harness.training.architecture import describe_network
from harness.training.warnings_for_authors import find_oddities


class Kind(enum.Enum):
    RELU = "relu"
    TANH = "tanh"


class Slotted:
    __slots__ = ("act",)

    def __init__(self, act: str) -> None:
        self.act = act


class Private:
    __slots__ = ("__act",)

    def __init__(self, act: str) -> None:
        self.__act = act


def closure(act: str):
    def activated(x: torch.Tensor) -> torch.Tensor:
        return getattr(nn.functional, act)(x)

    return activated


WAYS = {
    "public attribute": lambda net, act: setattr(net, "act", act),
    "private attribute": lambda net, act: setattr(net, "_act", act),
    "function in a private attribute": lambda net, act: setattr(net, "_act", getattr(nn.functional, act)),
    "function of torch's": lambda net, act: setattr(net, "_act", getattr(torch, act)),
    "dict": lambda net, act: setattr(net, "settings", {"deep": {"act": act}}),
    "namespace": lambda net, act: setattr(net, "config", SimpleNamespace(act=act)),
    "slots": lambda net, act: setattr(net, "config", Slotted(act)),
    "enumeration": lambda net, act: setattr(net, "kind", Kind(act)),
    "set": lambda net, act: setattr(net, "flags", {act, "other"}),
    "tensor that is no buffer": lambda net, act: setattr(net, "scale", torch.tensor(float(len(act) + ord(act[0])))),
    "buffer that is not stored": lambda net, act: net.register_buffer("b", torch.tensor(ord(act[0])), persistent=False),
    "lambda": lambda net, act: setattr(net, "f", (lambda x: x.relu()) if act == "relu" else (lambda x: x.tanh())),
    "closure": lambda net, act: setattr(net, "f", closure(act)),
    "default argument": lambda net, act: setattr(net, "f", lambda x, how=act: getattr(nn.functional, how)(x)),
    "partial": lambda net, act: setattr(
        net,
        "f",
        functools.partial(nn.functional.leaky_relu, negative_slope=float(len(act)))
        if act == "relu"
        else functools.partial(nn.functional.elu, alpha=1.0),
    ),
    "partial's argument": lambda net, act: setattr(
        net, "f", functools.partial(nn.functional.leaky_relu, negative_slope=ord(act[0]))
    ),
    "hook": lambda net, act: net.c.register_forward_hook(lambda _m, _i, o: getattr(nn.functional, act)(o)),
    "hook before": lambda net, act: net.c.register_forward_pre_hook(functools.partial(print, act)),
    "forward replaced": lambda net, act: setattr(net, "forward", closure(act)),
    "bound method": lambda net, act: setattr(net, "f", Slotted(act).__init__),
    "hidden module": lambda net, act: setattr(net, "hidden", [nn.ReLU() if act == "relu" else nn.Tanh()]),
    "hidden weights": lambda net, act: setattr(net, "hidden", [constant(ord(act[0]))]),
    "number of numpy": lambda net, act: setattr(net, "n", np.int64(ord(act[0]))),
    "deque": lambda net, act: setattr(net, "n", deque([act])),
    "generator": lambda net, act: setattr(net, "n", np.random.default_rng(ord(act[0]))),
    "generator of Python": lambda net, act: setattr(net, "n", random.Random(ord(act[0]))),
    "private slot": lambda net, act: setattr(net, "n", Private(act)),
    "half precision": lambda net, act: setattr(net, "scale", torch.tensor(ord(act[0]), dtype=torch.bfloat16)),
    "logger": lambda net, act: setattr(net, "log", logging.getLogger(act)),
    "no gradients": lambda net, act: net.c.requires_grad_(act == "relu"),
}


def constant(value: float) -> nn.Linear:
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, value)
    nn.init.constant_(layer.bias, value)
    return layer


def network(way: str, act: str) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Module()
    net.c = nn.Conv2d(3, 8, 3)
    WAYS[way](net, act)
    return net


@pytest.mark.parametrize("way", WAYS)
def test_however_a_setting_is_kept_it_is_seen(way: str) -> None:
    assert describe_network(network(way, "relu")) == describe_network(network(way, "relu"))
    assert describe_network(network(way, "relu")) != describe_network(network(way, "tanh"))


def test_what_cannot_be_described_is_refused_by_name() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3))
    net[0].lock = threading.Lock()
    with pytest.raises(UsageError, match=r"0\.lock is a lock"):
        describe_network(net)


@pytest.mark.parametrize(
    "odd",
    [np.array([object()]), torch.empty(2, device="meta"), torch.eye(2).to_sparse()],
    ids=["objects", "meta", "sparse"],
)
def test_tensors_that_hold_nothing_to_compare_are_refused(odd: object) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3))
    net[0].odd = odd
    with pytest.raises(UsageError, match="0 is a Conv2d"):
        describe_network(net)


def test_tied_weights_are_not_like_equal_ones() -> None:
    tied, apart = (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2))
    tied[1].weight = tied[0].weight
    assert describe_network(tied) != describe_network(apart)


@pytest.mark.parametrize("name", ["densenet121", pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.long)])
def test_networks_of_timm_are_described_alike_in_every_process(name: str) -> None:
    code = (
        "import json, timm, torch; from harness.training.architecture import describe_network\n"
        f"print(json.dumps(describe_network(timm.create_model({name!r}, num_classes=2))))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == describe_network(timm.create_model(name, num_classes=2))


def small(*end: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2), *end
    )


IMAGES = torch.rand(2, 3, 16, 16)


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.Sequential(nn.ReLU(), nn.Softmax(-1))])
def test_a_network_that_ends_in_softmax_is_told(end: nn.Module) -> None:
    assert any("returns probabilities" in told for told in find_oddities(small(end), (), IMAGES))


def test_statistics_that_move_without_gradients_are_told() -> None:
    for frozen, found in (((), True), (("0",), True), (("1",), False), (("0", "1"), False)):
        told = find_oddities(small().requires_grad_(requires_grad=False), frozen, IMAGES)
        assert any("1 batch-norm layers have no gradients, 1 among them" in line for line in told) is found
    assert find_oddities(small(), (), IMAGES) == []
    assert find_oddities(small(nn.LogSoftmax(1)), (), IMAGES) == []  # the softmax of it is the same once more
