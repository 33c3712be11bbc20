import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness import Schedule
from harness.errors import DataError, DivergedError, UsageError
from harness.plugin_api.discovery import discover
from harness.plugin_api.model import LabeledImages
from harness.training.loop import Tally, Trainer, TrainingPlan, predict_probabilities
from harness.training.normalisation import Normalisation
from harness.training.weights import find_head, load_by_name, read_weights


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


def test_learns_and_reports():
    net, epochs = fit(learning_rate=0.05, epochs=8)
    assert epochs[-1].validation_balanced_accuracy == 1.0
    assert [epoch.epoch for epoch in epochs] == list(range(1, 9))
    assert epochs[-1].images_seen == 8 * 24 * 6  # sixfold
    p = predict_probabilities(net, images(seed=2).images, Normalisation(), "float32")
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
    loss, tally = nn.CrossEntropyLoss(weight=weights), Tally(2, logits.device, weights)
    for part in (slice(0, 20), slice(20, 30)):
        tally.add(loss(logits[part], labels[part]), logits[part], labels[part])
    assert tally.result()[0] == pytest.approx(float(loss(logits, labels)), rel=1e-5)


def test_patience_stops_early():
    assert len(fit(learning_rate=1e-9, epochs=50, patience=2)[1]) == 3


def test_the_best_epoch_is_kept():
    net, epochs = fit(learning_rate=0.5, epochs=6)
    best = max(epochs, key=lambda e: (e.validation_balanced_accuracy, -e.validation_loss))
    p = predict_probabilities(net, images(seed=1).images, Normalisation(), "float32")
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
    fresh = load_by_name(gated, plain.state_dict(), find_head(gated))
    assert all(".se." in name or name.startswith("classifier.") for name in fresh)
    x = torch.randn(2, 3, 32, 32)
    plain.eval(), gated.eval()
    with torch.no_grad():
        ratio = gated.forward_features(x).norm() / plain.forward_features(x).norm()
    assert 0.85 < ratio <= 1.0  # open gates hand on nearly all


def test_weights_that_do_not_fit_name_the_tensor():
    state = {"0.weight": torch.zeros(9, 3, 3, 3)}
    with pytest.raises(UsageError, match=r"0\.weight is \[9, 3, 3, 3\], the network has \[4, 3, 3, 3\]"):
        load_by_name(network(), state, "5")


def test_weight_files(tmp_path):
    state = {"a": torch.ones(2, dtype=torch.float16)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        assert read_weights(str(tmp_path / name))["a"].dtype == torch.float32
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:20])
    (tmp_path / "evil.pt").write_bytes(b"\x80\x04cos\nsystem\n.")
    for name in ("cut.safetensors", "evil.pt", "missing.pt"):
        with pytest.raises(DataError, match=name):
            read_weights(str(tmp_path / name))
