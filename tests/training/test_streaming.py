"""Images that stay in the host's memory: the same training, the same predictions, and steps that can be captured."""

import numpy as np
import pytest
import torch
from torch import nn

from harness.plugin_api.model import LabeledImages
from harness.plugin_api.schedule import Schedule
from harness.training.batches import Batches
from harness.training.execution_modes import set_up_process
from harness.training.feed import PixelFeed
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation
from harness.training.predict import Prediction, evaluation_batch, predict_probabilities
from harness.training.recipe import Recipe
from harness.training.streaming import StreamedImages


def images(n, seed):
    pixels = torch.randint(256, (n, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return LabeledImages(pixels, torch.arange(n) % 2)


@pytest.fixture
def streaming(monkeypatch):
    """Let feeds on the CPU stream their images, as they do where the network is on another device."""
    loads = []
    load = StreamedImages.load

    def noted(self, rows):
        loads.append(rows.clone())
        load(self, rows)

    def switch_on():
        monkeypatch.setattr(PixelFeed, "is_streamed", True)
        monkeypatch.setattr(StreamedImages, "load", noted)
        return loads

    return switch_on


def trained(device="cpu", mode="eager", place="cpu", recipe=None):
    """Losses, weights and predictions of three epochs; 22 images in batches of eight leave some over."""
    if device == "cuda":
        set_up_process(torch.get_num_threads())  # repeatable kernels, float32 without TF32
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(784, 2))
    network = network.to(device)
    schedule = Schedule(epochs=3, batch_size=8, learning_rate=0.01, augmentation="random", precision="float32")
    recipe = recipe or Recipe()
    plan = TrainingPlan("final", schedule, (), Normalisation(), 2, 0, execution_mode=mode, recipe=recipe)
    train, validation, test = images(22, 1), images(70, 2), images(70, 3)

    def placed(shown):
        return LabeledImages(shown.images.to(place), shown.labels.to(device))

    trainer, losses = Trainer(network, plan, placed(train)), []
    trainer.fit(placed(validation), lambda epoch: losses.append((epoch.train_loss, epoch.validation_loss)))
    feed = PixelFeed(network, test.images.to(place), Normalisation())
    probabilities = predict_probabilities(network, feed, len(test), Prediction(2, "float32", mode, views=8))
    return losses, network.state_dict(), probabilities, trainer.execution_mode


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(augment=lambda shown: shown + 0.1)], ids=["plain", "augmented"])
def test_streamed_images_train_and_predict_to_the_same_bits(streaming, recipe):
    losses, weights, probabilities, _ = trained(recipe=recipe)
    loads = streaming()
    streamed = trained(recipe=recipe)
    assert streamed[0] == losses
    assert all(torch.equal(streamed[1][name], weights[name]) for name in weights)
    assert (streamed[2] == probabilities).all()
    assert "images streamed from the host's memory" in streamed[3]
    # three epochs of two batches to train on and two to validate on, and eight views of two batches to predict
    assert [len(rows) for rows in loads] == [8, 8, 64, 64] * 3 + [64] * 16


def test_the_host_knows_the_rows_that_a_step_takes_beyond_the_end_of_an_epoch():
    batches = Batches(22, "random", 8, torch.device("cpu"), seed=3)
    for _ in range(2):
        batches.shuffle()
        for _ in range(7):
            assert torch.equal(batches.next_rows(), batches.take()[0])


def test_a_batch_keeps_its_address():
    shown = images(6, 0).images
    stream = StreamedImages(shown, 2, torch.device("cpu"))
    address = stream.batch.data_ptr()
    for rows in ([0, 5], [3, 3], [1, 2]):
        stream.load(torch.tensor(rows))
        assert torch.equal(stream.batch, shown[rows])
        assert stream.batch.data_ptr() == address


@pytest.mark.parametrize("n", [1, 255, 256, 257, 300, 1000, 7909])
def test_batches_on_cuda_are_few_and_even(n):
    size = evaluation_batch(n, "cuda")
    batches = -(-n // size)
    assert size <= 256
    assert batches == -(-n // 256)
    assert batches * size - n < batches  # that many images are classified twice
    assert evaluation_batch(n, "cpu") == 64


@pytest.mark.cuda
@pytest.mark.parametrize("mode", ["eager", "captured"])
def test_streamed_images_agree_with_images_on_the_device(mode):
    resident, streamed = trained("cuda", mode, "cuda"), trained("cuda", mode, "cpu")
    assert streamed[3] == f"{mode}, images streamed from the host's memory"
    assert streamed[0] == resident[0]
    assert (streamed[2] == resident[2]).all()


@pytest.mark.cuda
@pytest.mark.parametrize("mode", ["eager", "captured"])
def test_training_and_predictions_agree_with_those_of_the_cpu(mode):
    here, there = trained(), trained("cuda", mode, "cuda")
    assert np.array(there[0]) == pytest.approx(np.array(here[0]), rel=1e-3)
    assert there[2] == pytest.approx(here[2], abs=1e-3)
