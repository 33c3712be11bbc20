"""An interrupted training goes on, and ends with the bits that it would have had."""

import dataclasses

import pytest
import torch
from torch import nn

from harness.plugin_api.model import LabeledImages
from harness.plugin_api.schedule import Schedule
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation

EPOCHS = 5


class StoppedError(Exception):
    """The power is off."""


def images(n, seed):
    pixels = torch.randint(256, (n, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return LabeledImages(pixels, torch.arange(n) % 2)


def train(checkpoints=None, stop_after=None, **schedule):
    """Return the epochs and the weights; dropout, momentum, batch-norm statistics and views all have a say."""
    torch.manual_seed(0)
    maps = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    network = nn.Sequential(*maps, nn.Dropout(0.5), nn.Linear(16, 2))
    how = Schedule(**{"epochs": EPOCHS, "batch_size": 8, "learning_rate": 0.05, "augmentation": "random", **schedule})
    epochs = []

    def report(epoch):
        epochs.append(dataclasses.replace(epoch, train_seconds=0))
        if len(epochs) == stop_after:
            raise StoppedError

    plan = TrainingPlan("final", how, ("0",), Normalisation(), 2, 3)
    Trainer(network, plan, images(21, 1)).fit(images(10, 2), report, checkpoints)
    return epochs, network.state_dict()


@pytest.mark.parametrize("stop_after", [1, 3, EPOCHS])
@pytest.mark.parametrize("patience", [None, 2])
def test_the_same_bits_as_without_an_interruption(tmp_path, stop_after, patience):
    torch.manual_seed(99)
    epochs, weights = train(patience=patience)
    if stop_after > len(epochs):
        pytest.skip("patience ends this training earlier")
    with pytest.raises(StoppedError):
        train(Checkpoints(tmp_path / "c", "final", 0), stop_after, patience=patience)
    torch.manual_seed(7)  # whatever the new process has drawn
    again, resumed = train(Checkpoints(tmp_path / "c", "final", 0), patience=patience)
    assert again == epochs
    assert all(torch.equal(resumed[name], tensor) for name, tensor in weights.items())
    assert not list((tmp_path / "c").iterdir())


def test_no_snapshot_before_its_time(tmp_path):
    train(Checkpoints(tmp_path / "c", "final", 3600))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("damage", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"garbage" * 100])
def test_a_damaged_snapshot_is_passed_over(tmp_path, damage):
    epochs, _ = train()
    (tmp_path / "final.safetensors").write_bytes(damage)
    assert train(Checkpoints(tmp_path, "final", 3600))[0] == epochs


def zero_half(content):
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


@pytest.mark.parametrize("harm", [zero_half, lambda content: content[:-9], lambda _: b""])
def test_a_checkpoint_that_is_not_as_written_is_not_gone_on_from(tmp_path, harm):
    epochs, weights = train()
    with pytest.raises(StoppedError):
        train(Checkpoints(tmp_path, "final", 0), stop_after=3)
    (file,) = tmp_path.iterdir()
    assert Checkpoints(tmp_path, "final", 0).latest() is not None
    file.write_bytes(harm(file.read_bytes()))
    assert Checkpoints(tmp_path, "final", 0).latest() is None
    again, ended = train(Checkpoints(tmp_path, "final", 0))
    assert again == epochs
    assert all(torch.equal(ended[name], weights[name]) for name in weights)


def test_a_checkpoint_of_other_libraries_is_not_gone_on_from(tmp_path, monkeypatch):
    epochs, _ = train()
    with pytest.raises(StoppedError):
        train(Checkpoints(tmp_path, "final", 0), stop_after=3)
    monkeypatch.setattr("harness.training.checkpoint.versions", lambda: {"torch": "another"})
    assert Checkpoints(tmp_path, "final", 0).latest() is None
    assert train(Checkpoints(tmp_path, "final", 0))[0] == epochs
