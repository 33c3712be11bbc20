"""What a model decides of its training: loss, optimiser, rate, changed batches."""

import pytest
import torch
from torch import nn

from harness import LabeledImages, Schedule, TrainingOptions
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation
from harness.training.optimiser import Optimiser
from harness.training.recipe import Recipe, make_optimiser, rate_at

SCHEDULE = Schedule(epochs=4, batch_size=8, learning_rate=0.02, augmentation="random")
ADAMW = TrainingOptions(optimiser="adamw", learning_rate=0.003, weight_decay=0.1, decay="cosine")


def images(n=24, seed=0):
    """Dark images of class 0, bright ones of class 1."""
    labels = torch.arange(n) % 2
    noise = torch.randint(60, (n, 3, 16, 16), generator=torch.Generator().manual_seed(seed))
    return LabeledImages((noise + 120 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def trainer(recipe, frozen=(), schedule=SCHEDULE):
    plan = TrainingPlan("final", schedule, frozen, Normalisation(), 2, 0, recipe=recipe)
    return Trainer(network(), plan, images())


def recipe_of(options, **overridden):
    made = {
        "optimiser": lambda groups, schedule: make_optimiser(groups, schedule, options),
        "rate": lambda epoch, schedule: rate_at(epoch, schedule, options),
    }
    return Recipe(**{**made, **overridden})


@pytest.mark.parametrize("options", [TrainingOptions(), ADAMW])
def test_steps_are_those_of_torch(options):
    ours, theirs = network(), network()
    wrapped = Optimiser(ours, {}, lambda groups: make_optimiser(groups, SCHEDULE, options))
    wrapped.set_rate(0.01)
    plain = (
        torch.optim.AdamW(theirs.parameters(), 0.01, weight_decay=0.1)
        if options.optimiser == "adamw"
        else torch.optim.SGD(theirs.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    )
    for seed in range(4):
        x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        wrapped.step(ours(x).square().mean())
        plain.zero_grad()
        theirs(x).square().mean().backward()
        plain.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert len(wrapped.state) == (12 if options.optimiser == "adamw" else 4)  # of two weights and two biases


def test_options_take_the_place_of_the_schedules():
    assert [rate_at(epoch, SCHEDULE, TrainingOptions()) for epoch in (1, 4)] == [0.02, 0.02]
    assert rate_at(1, SCHEDULE, ADAMW) == 0.003
    assert rate_at(3, SCHEDULE, ADAMW) == pytest.approx(0.0015)
    with pytest.raises(ValueError, match="optimiser"):
        TrainingOptions(optimiser="lion")


def test_adamw_learns_and_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    recipe, epochs = recipe_of(ADAMW), []
    whole = trainer(recipe)
    whole.fit(images(seed=1), epochs.append)
    assert epochs[-1].validation_balanced_accuracy > 0.9

    class StoppedError(Exception):
        pass

    def stop_after_two(epoch):
        if epoch.epoch == 3:
            raise StoppedError

    kept = Checkpoints(tmp_path, "final", 0)
    with pytest.raises(StoppedError):
        trainer(recipe).fit(images(seed=1), stop_after_two, kept)
    again = trainer(recipe)
    again.fit(images(seed=1), lambda _: None, Checkpoints(tmp_path, "final", 0))
    for one, other in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_loss_of_its_own_is_what_is_minimised_and_reported():
    def doubled(logits, targets, class_weights):
        return 2 * nn.functional.cross_entropy(logits, targets, weight=class_weights)

    plain, own = [], []
    frozen = Schedule(epochs=1, batch_size=8, learning_rate=1e-12, augmentation="none")
    trainer(Recipe(), schedule=frozen).fit(images(seed=1), plain.append)
    trainer(Recipe(loss=doubled), schedule=frozen).fit(images(seed=1), own.append)
    assert own[0].validation_loss == pytest.approx(2 * plain[0].validation_loss, rel=1e-5)
    assert own[0].train_loss == pytest.approx(2 * plain[0].train_loss, rel=1e-5)


def test_batches_are_changed_in_training_and_nowhere_else():
    seen = []

    def darken(batch):
        seen.append(batch.shape)
        return torch.zeros_like(batch)

    epochs = []
    made = trainer(Recipe(augment=darken))
    made.fit(images(seed=1), epochs.append)
    assert {tuple(shape) for shape in seen} == {(8, 3, 16, 16)}
    assert len(seen) == 4 * 3  # validation images are not among them
    assert epochs[-1].train_balanced_accuracy == pytest.approx(0.5, abs=0.2)  # black images tell nothing
    assert "batches changed by the model" in made.execution_mode


def test_targets_are_mixed_as_images_are():
    given = []

    def mixup(batch, targets):
        given.append(targets)
        return 0.5 * (batch + batch.flip(0)), 0.5 * (targets + targets.flip(0))

    epochs = []
    trainer(Recipe(mix=mixup), schedule=Schedule(epochs=8, batch_size=8, learning_rate=0.05)).fit(
        images(seed=1), epochs.append
    )
    assert all(torch.equal(targets.sum(1), torch.ones(8)) for targets in given)
    assert epochs[-1].validation_balanced_accuracy == 1.0


def test_features_of_frozen_layers_are_not_kept_where_batches_change():
    schedule = Schedule(epochs=20, batch_size=8, learning_rate=0.02, augmentation="random")
    kept = trainer(Recipe(), frozen=("0",), schedule=schedule)
    kept.prepare()
    assert "frozen prefix cached" in kept.execution_mode
    changed = trainer(Recipe(augment=lambda batch: batch), frozen=("0",), schedule=schedule)
    changed.prepare()
    assert changed.feature_images == 0
