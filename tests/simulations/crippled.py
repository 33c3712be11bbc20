"""Two DenseNets that `harness compare` must find: one is taught wrongly, one learns slowly.

`make regression-power` runs both with the reference's seeds and compares them with results/reference/demo.
"""

from dataclasses import replace

import torch
from harness_plugins.densenet import DenseNet

from harness import hookimpl


class Crippled(DenseNet):
    """DenseNet, trained on shuffled labels of a third of its images."""

    name = "crippled"
    reproduces = None

    def fit(self, train, validation, context):
        """Train on labels of which a third changed places."""
        random = torch.Generator().manual_seed(context.seed)
        third = torch.randperm(len(train.labels), generator=random)[: len(train.labels) // 3]
        labels = train.labels.clone()
        labels[third] = labels[third[torch.randperm(len(third), generator=random)]]
        super().fit(replace(train, labels=labels), validation, context)


class Slow(DenseNet):
    """DenseNet at a quarter of the learning rate, which takes about twice the images to learn as much."""

    name = "slow"
    reproduces = None

    def fit(self, train, validation, context):
        """Train with a quarter of the rate."""
        rate = context.schedule.learning_rate / 4
        super().fit(
            train, validation, replace(context, schedule=context.schedule.model_copy(update={"learning_rate": rate}))
        )


@hookimpl
def harness_register_models(register):
    """Offer both."""
    register(Crippled)
    register(Slow)
