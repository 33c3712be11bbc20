"""A training step of a small network, with the evaluation that ends an epoch."""

from __future__ import annotations

import torch

from harness import Schedule
from harness.plugin_api.discovery import discover
from harness.plugin_api.model import LabeledImages
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation

BATCH, SIDE = 8, 64


def test_training_step(timed):
    images = torch.randint(256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batch = LabeledImages(images, torch.arange(BATCH) % 2)
    densenet = discover().find("densenet").model
    torch.manual_seed(0)
    network = densenet(densenet.Options(growth_rate=8, block_config=(2, 4, 4))).build(2)
    schedule = Schedule(epochs=1, batch_size=BATCH, augmentation="none", learning_rate=1e-4)
    trainer = Trainer(network, TrainingPlan("final", schedule, (), Normalisation(), n_classes=2, seed=0), batch)
    epochs = []
    timed(trainer.fit, batch, epochs.append)
    assert epochs[-1].images_seen == BATCH
