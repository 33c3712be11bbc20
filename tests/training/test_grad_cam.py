from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import timm
import torch
from torch import nn

from harness import TorchModel
from harness.errors import EnvironmentMissingError, UsageError
from harness.training.feed import PixelFeed
from harness.training.grad_cam import grad_cam, last_map_layer, name_of_layer
from harness.training.normalisation import Normalisation
from harness.training.predict import Prediction

IMAGES = torch.randint(256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    """Its rectifier is called twice, in place, and its pooling is no module."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.relu, self.head = (
            nn.Conv2d(3, 4, 3),
            nn.Conv2d(4, 6, 3),
            nn.ReLU(inplace=True),
            nn.Linear(6, 2),
        )

    def maps(self, x):
        return self.relu(self.two(self.relu(self.one(x))))

    def forward(self, x):
        return self.head(self.maps(x).mean((2, 3)))


class PlainModel(TorchModel):
    name = "plain"

    def build(self, n_classes):
        del n_classes
        torch.manual_seed(0)
        return Plain()


def plain(*, frozen=False):
    torch.manual_seed(0)
    return Plain().requires_grad_(not frozen)


def loaded(kind=PlainModel):
    model = kind()
    model._network, model._prediction = model.build(2), Prediction(2, "float32")
    return model


def feed(network, images=IMAGES):
    return PixelFeed(network, images, Normalisation())


@pytest.mark.parametrize("frozen", [False, True])
def test_before_a_mean_and_a_linear_layer_it_is_the_sum_of_maps_by_the_weights_of_the_class(frozen):
    network, classes = plain(frozen=frozen), np.array([0, 1, 0])
    found = grad_cam(feed(network), classes, last_map_layer(feed(network)))
    with torch.no_grad():
        maps = network.maps(Normalisation().apply(IMAGES))
        evidence = torch.einsum("nk,nkhw->nhw", network.head.weight[classes], maps).relu()
        expected = nn.functional.interpolate(evidence[:, None], (16, 16), mode="bilinear")[:, 0]
    assert found == pytest.approx((expected / expected.amax((1, 2), keepdim=True)).numpy(), abs=1e-5)
    assert (found.shape, found.dtype, found.max()) == ((3, 16, 16), np.float32, 1)


def test_where_nothing_speaks_for_the_class_there_is_nothing():
    network = plain()
    with torch.no_grad():
        network.head.weight[1] = -network.head.weight[1].abs()
    assert not grad_cam(feed(network), np.array([1, 1, 1]), network.relu).any()


def test_many_images_are_explained_as_few_are():
    network, many = plain(), IMAGES.repeat(7, 1, 1, 1)
    one_by_one = [grad_cam(feed(network, image[None]), np.array([1]), network.relu)[0] for image in IMAGES]
    together = grad_cam(feed(network, many), np.ones(21, np.int64), network.relu)
    assert together[-3:] == pytest.approx(np.stack(one_by_one), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [("densenet121", "features", {"growth_rate": 4, "block_config": (1, 1)}), ("resnet10t", "layer4", {})],
)
def test_the_layer_is_the_last_before_pooling(name, layer, shape):
    network = timm.create_model(name, num_classes=2, **shape)
    found = last_map_layer(feed(network, torch.zeros(1, 3, 64, 64, dtype=torch.uint8)))
    assert name_of_layer(network, found) == layer


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(768, 2)),
        nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Flatten(2), nn.Linear(16, 5), nn.Flatten(), nn.Linear(20, 2)),
    ],
    ids=["no maps", "tokens"],
)
def test_a_network_without_maps_before_its_classifier_is_refused(network):
    with pytest.raises(UsageError, match=r"no layer of Sequential can be explained: .*explained_layer"):
        last_map_layer(feed(network))


def test_a_model_explains_what_it_predicts_and_says_how():
    model = loaded()
    assert model.how_explained() == {}
    predicted = model.predict_proba(IMAGES).argmax(1)
    network = model._network
    assert model.explain(IMAGES) == pytest.approx(grad_cam(feed(network), predicted, network.relu))
    how = model.how_explained()
    assert (how["method"], how["layer"], sorted(how)) == ("Grad-CAM", "relu", ["captum", "layer", "method"])


def test_a_model_may_name_another_layer():
    class Early(PlainModel):
        def explained_layer(self, network):
            return network.one

    model = loaded(Early)
    assert model.explain(IMAGES).shape == (3, 16, 16)
    assert model.how_explained()["layer"] == "one"


@pytest.mark.parametrize(
    ("layer", "reason"),
    [(lambda network: network.head, "must be maps"), (lambda _: nn.ReLU(), "module of the network")],
)
def test_a_layer_that_cannot_be_is_named(layer, reason):
    class Wrong(PlainModel):
        def explained_layer(self, network):
            return layer(network)

    with pytest.raises(ValueError, match=reason):
        loaded(Wrong).explain(IMAGES)


def test_without_captum_it_says_what_to_install(monkeypatch):
    def not_installed(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("harness.training.grad_cam.version", not_installed)
    with pytest.raises(EnvironmentMissingError, match=r"pip install 'breakhis-harness\[explain\]'"):
        loaded().explain(IMAGES)
