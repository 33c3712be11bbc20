"""A cached prefix changes nothing but the time; where it would change something, it is not cached."""

import numpy as np
import pytest
import torch
from harness_plugins.deep_transfer import DeepTransfer, DeepTransferOptions
from torch import nn

from harness.plugin_api.model import LabeledImages
from harness.plugin_api.schedule import Schedule
from harness.training import frozen_features
from harness.training.calibration import calibrated_speed
from harness.training.execution_modes import set_up_process
from harness.training.frozen_features import FrozenFeatures, images_at_once
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation
from harness.training.prefix import find_prefix


def images(n, seed, size=32, device="cpu"):
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=random)
    return LabeledImages(pixels.to(device), torch.arange(n, device=device) % 2)


def trained(augmentation, epochs, device="cpu"):
    if device == "cuda":
        set_up_process(torch.get_num_threads())  # repeatable kernels, float32 without TF32
    torch.manual_seed(0)
    model = DeepTransfer(DeepTransferOptions(growth_rate=4, block_config=(2, 2, 2), freeze="denseblock2", dropout=0.25))
    network = model.build(2).to(device)
    schedule = Schedule(epochs=epochs, batch_size=8, learning_rate=0.05, augmentation=augmentation, precision="float32")
    plan = TrainingPlan("final", schedule, model.frozen(network), Normalisation(), n_classes=2, seed=3)
    trainer, reports = Trainer(network, plan, images(21, 1, device=device)), []
    trainer.fit(images(10, 2, device=device), reports.append)
    losses = [(report.train_loss, report.validation_loss, report.images_seen) for report in reports]
    return losses, network.state_dict(), trainer.execution_mode


@pytest.mark.parametrize(("augmentation", "epochs"), [("none", 3), ("random", 8), ("sixfold", 2)])
def test_bit_for_bit_as_recomputed(augmentation, epochs, monkeypatch):
    cached = trained(augmentation, epochs)
    monkeypatch.setattr(frozen_features, "memory_for_features", lambda _device: 0)
    recomputed = trained(augmentation, epochs)
    assert (cached[2], recomputed[2]) == ("eager, frozen prefix cached", "eager")
    assert cached[0] == recomputed[0]
    assert all(torch.equal(cached[1][name], tensor) for name, tensor in recomputed[1].items())


def test_a_reading_of_a_speed_makes_the_features_of_its_batch_once(monkeypatch):
    made, of = [], FrozenFeatures.of
    monkeypatch.setattr(FrozenFeatures, "of", lambda self, *given: made.append(given) or of(self, *given))
    model = DeepTransfer(DeepTransferOptions(growth_rate=4, block_config=(2, 2, 2), freeze="denseblock2"))
    network = model.build(2)
    schedule = Schedule(epochs=30, batch_size=8, augmentation="none")
    plan = TrainingPlan("final", schedule, model.frozen(network), Normalisation(), n_classes=2, seed=3)
    trainer = Trainer(network, plan, images(8, 1))
    speed = trainer.measure()
    assert calibrated_speed(trainer, 32, schedule, torch.device("cpu")) > 0
    assert len(made) == 1
    assert speed.features_per_second > 0


@pytest.mark.parametrize(
    ("batch_size", "size", "device", "at_once"),
    [
        (32, 224, "cpu", 32),
        (32, 64, "cuda", 256),
        (32, 448, "cuda", 64),
        (100, 448, "cuda", 100),
        (512, 64, "cuda", 512),
    ],
)
def test_features_are_made_in_large_batches_on_cuda_of_small_images(batch_size, size, device, at_once):
    assert images_at_once(batch_size, size, device) == at_once


@pytest.mark.long
def test_larger_batches_of_features_change_rounding_alone(monkeypatch):
    cached = trained("none", 3)
    monkeypatch.setattr(frozen_features, "images_at_once", lambda *_: 13)  # 21 images in batches that overlap
    others = trained("none", 3)
    assert others[2] == "eager, frozen prefix cached"
    assert np.array(others[0]) == pytest.approx(np.array(cached[0]), rel=1e-3)


@pytest.mark.cuda
def test_features_on_cuda_agree_with_recomputed_ones(monkeypatch):
    cached = trained("random", 8, "cuda")
    monkeypatch.setattr(frozen_features, "memory_for_features", lambda _device: 0)
    recomputed = trained("random", 8, "cuda")
    assert (cached[2], recomputed[2]) == ("eager, frozen prefix cached", "eager")
    # features are made in larger batches than steps take, so they may differ in their last bits
    assert np.array(cached[0]) == pytest.approx(np.array(recomputed[0]), rel=1e-2)


def test_too_few_passes_are_not_worth_it():
    assert trained("random", 3)[2] == "eager"


class Chain(nn.Module):
    """Three convolutions and a head, with something odd where ``kind`` says."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.one, self.two, self.three = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(3, 2)
        if "zero" in kind:
            nn.init.zeros_(self.head.weight)

    def forward(self, x):
        y = self.two(self.drop(self.one(x)) if self.kind == "dropout" else self.one(x))
        y = self.three(y + x if "shortcut" in self.kind else y)
        return self.head(y.mean((2, 3)))


class Pooled(nn.Module):
    """A frozen convolution, then a pooling, perhaps with dropout, that a head takes up."""

    def __init__(self, rate, *, mixes=False):
        super().__init__()
        self.frozen, self.mixes = nn.Conv2d(3, 4, 3), mixes
        self.pool, self.drop, self.head = nn.AdaptiveAvgPool2d(1), nn.Dropout(rate), nn.Linear(4, 2)

    def forward(self, x):
        y = self.frozen(x - 0.001 * x.mean(0) if self.mixes else x)
        return self.head(self.drop(self.pool(y)).flatten(1))


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_features_are_those_behind_the_pooling(rate):
    network, x = Pooled(rate), torch.randn(2, 3, 8, 8)
    prefix = find_prefix(network, ("frozen",), x)
    assert prefix.last is network.pool
    network.eval()
    assert prefix.features(x).shape == (2, 4, 1, 1)
    assert torch.equal(prefix.rest(prefix.features(x), network), network(x))


def test_features_that_depend_on_other_images_are_none():
    assert find_prefix(Pooled(0.0, mixes=True), ("frozen",), torch.randn(2, 3, 8, 8)) is None


@pytest.mark.parametrize(
    ("kind", "frozen", "last"),
    [
        ("plain", ("one", "two"), "two"),
        ("plain", ("two", "one"), "two"),
        ("plain", ("one", "three"), "one"),
        ("plain", ("two",), None),  # other weights come first
        ("plain", (), None),
        ("shortcut", ("one", "two"), None),  # the image is looked at again
        ("shortcut, zero head", ("one", "two"), None),  # no logit shows it yet
        ("dropout", ("one", "two"), None),  # not the same twice
        ("dropout", ("one",), "one"),
    ],
)
def test_where_a_network_may_be_cut(kind, frozen, last):
    torch.manual_seed(0)
    network, x = Chain(kind), torch.randn(2, 3, 8, 8)
    state = torch.get_rng_state()
    prefix = find_prefix(network, frozen, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert (None if prefix is None else prefix.last) is (None if last is None else network.get_submodule(last))
    network.eval()
    if prefix is not None:
        assert torch.equal(prefix.rest(prefix.features(x), network), network(x))
    assert not any("forward" in module.__dict__ for module in network.modules())
