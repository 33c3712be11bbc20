"""Training and prediction steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from harness.training.batches import Batches
from harness.training.feed import Feed, Forward
from harness.training.metric_accumulator import MetricAccumulator
from harness.training.optimiser import Optimiser

BatchLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class TrainingStep:
    """Trains a network on the next batch.

    Args:
        network: In training mode when the step is executed.
        feed: Gives its logits and targets.
        batches: Which images come next.
        labels: int64 (N,).
        loss: Of float32 logits (B, n_classes) and targets; a mean over the batch.
        optimiser: Changes the network.
        tally: Counts the batch.
        precision: ``bf16`` or ``float32``.
    """

    def __init__(  # noqa: PLR0913 - a step is where all of these meet
        self,
        network: nn.Module,
        feed: Feed,
        batches: Batches,
        labels: torch.Tensor,
        loss: BatchLoss,
        optimiser: Optimiser,
        tally: MetricAccumulator,
        precision: str,
    ) -> None:
        self._network, self._feed, self._batches, self._labels = network, feed.in_batches(batches.size), batches, labels
        self._loss, self._optimiser, self._tally, self._precision = loss, optimiser, tally, precision
        self._forward: Forward = network

    @property
    def state(self) -> list[torch.Tensor]:
        """Weights, statistics, the optimiser's state, the sums, and which batch is next."""
        network = self._network
        return [
            *network.parameters(),
            *network.buffers(),
            *self._optimiser.state,
            *self._tally.state,
            self._batches.position,
        ]

    def use_compiled(self, *, compiled: bool) -> None:
        """Execute the network through torch.compile, or plainly."""
        self._forward = torch.compile(self._network, dynamic=False) if compiled else self._network

    def load(self) -> None:
        """Have the host bring the next batch."""
        self._feed.load(self._batches.next_rows())

    def __call__(self) -> None:
        """Train on one batch."""
        rows, views = self._batches.take()
        labels = self._labels[rows]
        with autocast(rows.device, self._precision):
            logits, targets = self._feed.batch(self._forward, rows, views, labels)
        loss = self._loss(logits.float(), targets)
        self._optimiser.step(loss)
        self._tally.add(loss, logits, labels)


class PredictionStep:
    """Classifies the next batch of images, in order.

    Args:
        network: In evaluation mode when the step is executed.
        feed: Gives its logits.
        images: How many there are.
        n_classes: Of the network's output.
        size: Images a batch; the last batch overlaps the one before, so that all are of one size.
        device: Of the step.
        precision: ``bf16`` or ``float32``.
    """

    def __init__(  # noqa: PLR0913
        self,
        network: nn.Module,
        feed: Feed,
        images: int,
        n_classes: int,
        size: int,
        device: torch.device,
        precision: str,
    ) -> None:
        self.size = min(size, images)
        self.network, self._feed, self._precision = network, feed.in_batches(self.size), precision
        self.logits = torch.zeros(images, n_classes, device=device)
        self.view = torch.zeros((), dtype=torch.int64, device=device)
        self.position = torch.zeros((), dtype=torch.int64, device=device)
        self._offsets = torch.arange(self.size, device=device)
        self._host_position = 0

    def begin(self, view: int) -> None:
        """Start again with the first batch, in a view."""
        self.view.fill_(view)
        self.position.zero_()
        self._host_position = 0

    @property
    def state(self) -> list[torch.Tensor]:
        """What has been found, and which batch is next."""
        return [self.logits, self.position]

    def use_compiled(self, *, compiled: bool) -> None:
        """Stay as it is: compiling a second time for evaluation costs more than it saves."""

    def load(self) -> None:
        """Have the host bring the next batch."""
        first = min(self._host_position, len(self.logits) - self.size)
        self._host_position += self.size
        self._feed.load(torch.arange(first, first + self.size))

    @torch.no_grad()
    def __call__(self) -> None:
        """Classify one batch."""
        rows = self.position.clamp(max=len(self.logits) - self.size) + self._offsets
        self.position += self.size
        with autocast(rows.device, self._precision):
            logits = self._feed.logits(self.network, rows, self.view.expand(self.size))
        self.logits.index_copy_(0, rows, logits.float())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a network computes in its precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
