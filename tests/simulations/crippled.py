"""A DenseNet that is trained on shuffled labels of a third of its images, for `harness compare` to find.

harness run demo -o "seeds=[0,1]" --models densenet -o models.densenet.plugin=crippled \
    --plugin tests/simulations/crippled.py --out crippled
harness compare results/reference/demo crippled --fail-on-regression
"""

from dataclasses import replace

import torch
from harness_plugins.densenet import DenseNet

from harness import hookimpl


class Crippled(DenseNet):
    """DenseNet, badly taught."""

    name = "crippled"
    reproduces = None

    def fit(self, train, validation, context):
        """Train on labels of which a third changed places."""
        random = torch.Generator().manual_seed(context.seed)
        third = torch.randperm(len(train.labels), generator=random)[: len(train.labels) // 3]
        labels = train.labels.clone()
        labels[third] = labels[third[torch.randperm(len(third), generator=random)]]
        super().fit(replace(train, labels=labels), validation, context)


@hookimpl
def harness_register_models(register):
    """Offer it."""
    register(Crippled)
