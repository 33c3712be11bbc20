"""Gates of squeeze-and-excitation: open at the start, alive afterwards, untouched where frozen."""

import pytest
import torch
from harness_plugins.deep_transfer import DeepTransfer, DeepTransferOptions
from harness_plugins.densenet import OpenGate, SEDenseNet, SEDenseNetOptions, build_densenet, gate_spread

from harness.plugin_api.model import LabeledImages
from harness.plugin_api.schedule import Schedule
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation

SHAPE = {"growth_rate": 8, "block_config": (2, 2, 2), "dropout": 0.0}


def network(**options):
    torch.manual_seed(0)
    model = DeepTransfer(DeepTransferOptions(**SHAPE, weights="somewhere", reduction=4, **options))
    return model, model.build(2)


def train(model, built, epochs=6):
    random = torch.Generator().manual_seed(1)
    labels = torch.arange(32) % 2
    pixels = torch.randint(256, (32, 3, 32, 32), dtype=torch.uint8, generator=random)
    pixels[labels == 1, 0] //= 4
    images = LabeledImages(pixels, labels)
    schedule = Schedule(epochs=epochs, batch_size=8, learning_rate=0.05, augmentation="none")
    plan = TrainingPlan("final", schedule, model.frozen(built), Normalisation(), n_classes=2, seed=0)
    trainer = Trainer(built, plan, images)
    trainer.fit(images, lambda _: None)
    return trainer.inspected(model.inspect)


def test_an_open_gate_is_one_and_learns():
    x = torch.zeros(3, requires_grad=True)
    assert OpenGate()(x).tolist() == [1.0, 1.0, 1.0]
    OpenGate()(x).sum().backward()
    assert x.grad.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("reduction", [1, 3, 4, 8])
def test_plain_weights_compute_the_same_at_the_start(reduction):
    model = DeepTransfer(DeepTransferOptions(**SHAPE, weights="somewhere", reduction=reduction))
    gated, plain = model.build(2), build_densenet(model.options, 2)
    gated.load_state_dict(plain.state_dict(), strict=False)
    images = torch.randn(16, 3, 32, 32)
    assert torch.equal(gated.eval()(images), plain.eval()(images))


def test_every_hidden_unit_learns_from_the_first_step():
    _, built = network(freeze="none")
    built(torch.randn(8, 3, 32, 32)).square().sum().backward()
    units = [parameter.grad for name, parameter in built.named_parameters() if name.endswith(".se.fc1.weight")]
    assert units
    assert all((unit.flatten(1).abs().max(1).values > 0).all() for unit in units)


@pytest.mark.long
def test_gates_move_where_they_are_trained_and_nowhere_else():
    model, built = network(freeze="denseblock1")
    spread = train(model, built)
    assert set(spread) == {f"gate spread {part}" for part in ("denseblock2", "transition2", "denseblock3")}
    assert all(value > 1e-3 for value in spread.values()), spread
    factors = []
    for name, module in built.named_modules():
        if "denseblock1" in name and isinstance(module, OpenGate):
            module.register_forward_hook(lambda _module, _inputs, output: factors.append(output))
    built(torch.randn(4, 3, 32, 32))
    assert len(factors) == 2
    assert all(torch.equal(factor, torch.ones_like(factor)) for factor in factors)


def test_a_network_from_scratch_keeps_the_usual_gates():
    built = SEDenseNet(SEDenseNetOptions(**SHAPE, reduction=4)).build(2).eval()
    spread = gate_spread(built, torch.randn(4, 3, 32, 32))
    parts = ("denseblock1", "transition1", "denseblock2", "transition2", "denseblock3")
    assert set(spread) == {f"gate spread {part}" for part in parts}
    assert min(spread.values()) > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ()),
        ({"freeze": "denseblock4"}, ("frozen through denseblock4",)),
        ({"freeze": "none", "lung": None}, ("no stage on lung histology", "frozen through none")),
        ({"reduction": None, "dropout": 0.1}, ("dropout 0.1", "no squeeze-and-excitation")),
        ({"growth_rate": 12}, ("growth rate 12 and blocks (6, 12, 24, 16)",)),
    ],
)
def test_what_is_not_the_papers_recipe(options, words):
    assert DeepTransfer(DeepTransferOptions(**options)).deviations() == words
