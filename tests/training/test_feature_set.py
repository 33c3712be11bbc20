"""A feature set knows its images by their pixels and its layers by what decides their output."""

import numpy as np
import pytest
import torch
from torch import nn

from harness.training.feature_set import FeatureSet, finish_set, image_digests, new_set, prefix_key
from harness.training.normalisation import Normalisation
from harness.training.prefix import find_prefix


def images(n, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, 3, 4, 4), dtype=torch.uint8, generator=random)


@pytest.fixture(params=[torch.float32, torch.bfloat16])
def written(tmp_path, request):
    """Five images' features in two views, the first three numbers of each image, the second view negative."""
    shown, dtype = images(5), request.param
    digests = sorted(image_digests(shown.numpy()))
    file = new_set(tmp_path, digests, (2, 3), dtype)
    stored = torch.from_numpy(np.load(file, mmap_mode="r+")).view(dtype)
    by_digest = dict(zip(image_digests(shown.numpy()), shown, strict=True))
    for place, digest in enumerate(digests):
        first = by_digest[digest].flatten()[:3].to(dtype)
        stored[place, 0], stored[place, 1] = first, -first
    finish_set(tmp_path, digests, "layers", (2, 3), dtype, 0.5)
    return tmp_path, shown, dtype


def test_images_find_their_features_by_their_pixels(written):
    folder, shown, dtype = written
    found = FeatureSet.read(folder, "layers")
    wanted = shown[torch.tensor([3, 0, 3])]
    features = found.features[found.places_of(wanted)]
    expected = wanted.flatten(1)[:, :3].to(dtype)
    assert features.dtype is dtype
    assert torch.equal(features, torch.stack([expected, -expected], 1))
    assert found.seconds_per_image == 0.5


def test_one_unknown_image_is_enough_for_none(written):
    folder, shown, _ = written
    found = FeatureSet.read(folder, "layers")
    assert found.places_of(torch.cat([shown, images(1, seed=1)])) is None


def test_other_layers_find_nothing(written):
    assert FeatureSet.read(written[0], "other layers") is None


def test_what_a_cell_writes_stays_its_own(written):
    folder, _, _ = written
    before = FeatureSet.read(folder, "layers").features.clone()
    FeatureSet.read(folder, "layers").features.zero_()
    assert torch.equal(FeatureSet.read(folder, "layers").features, before)


def begun(folder):
    digests = sorted(image_digests(images(5).numpy()))
    return digests, new_set(folder, digests, (1, 3), torch.float32)


def test_a_set_with_a_number_that_is_none_is_refused(tmp_path):
    digests, file = begun(tmp_path)
    np.load(file, mmap_mode="r+")[4, 0, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        finish_set(tmp_path, digests, "layers", (1, 3), torch.float32, 0.5)


def test_a_set_that_is_not_what_was_begun_is_refused(tmp_path):
    digests, file = begun(tmp_path)
    np.save(file, np.zeros((4, 1, 3), np.float32))
    with pytest.raises(ValueError, match="not those that were begun"):
        finish_set(tmp_path, digests, "layers", (1, 3), torch.float32, 0.5)


class Net(nn.Module):
    """A frozen layer, an activation, another frozen layer and a head."""

    def __init__(self, act=nn.ReLU, head=2):
        super().__init__()
        torch.manual_seed(0)
        self.frozen, self.act, self.second = nn.Conv2d(3, 4, 3), act(), nn.Conv2d(4, 4, 1)
        torch.manual_seed(head)
        self.head = nn.Linear(4, head)

    def forward(self, x):
        return self.head(self.second(self.act(self.frozen(x))).mean((2, 3)))


def key(net, batch=32, normalisation=None, precision="float32"):
    prefix = find_prefix(net, ("frozen", "second"), torch.randn(2, 3, 6, 6))
    return prefix_key(prefix, normalisation or Normalisation(), precision, batch)


def test_a_key_sees_what_decides_features_and_nothing_else():
    same = key(Net())
    assert key(Net()) == same
    assert key(Net(head=3)) == same  # what comes behind the cut is no part of it
    moved = Net()
    with torch.no_grad():
        moved.frozen.bias[0] += 1e-3
    others = [
        key(moved),
        key(Net(act=nn.Tanh)),
        key(Net(), batch=16),
        key(Net(), precision="bf16"),
        key(Net(), normalisation=Normalisation(mean=(0.5, 0.5, 0.5))),
    ]
    assert len({same, *others}) == 6
