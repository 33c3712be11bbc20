"""A DenseNet whose training is seeded by an option, so that reruns differ in nothing but chance."""

from dataclasses import replace

import torch
from harness_plugins.densenet import DenseNet, DenseNetOptions
from pydantic import Field

from harness import hookimpl


class ReseededOptions(DenseNetOptions):
    """The network's shape, and a seed that leaves splits as they are.

    Attributes:
        training_seed: Another seed is another training on the same images.
    """

    training_seed: int = Field(0, ge=0)


class Reseeded(DenseNet):
    """DenseNet, trained again."""

    name = "reseeded"
    Options = ReseededOptions

    def fit(self, train, validation, context):
        """Train with a seed of its own."""
        seed = 1000 * self.options.training_seed + context.seed
        torch.manual_seed(seed)
        super().fit(train, validation, replace(context, seed=seed))


@hookimpl
def harness_register_models(register):
    """Offer it."""
    register(Reseeded)
