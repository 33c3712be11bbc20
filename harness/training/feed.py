"""Input of a network: images, or cached features of its frozen first layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import nn

from harness.data.augment import view_images
from harness.training.normalisation import Normalisation
from harness.training.prefix import FrozenPrefix
from harness.training.streaming import StreamedImages

MAPS = 4
"""Dimensions of a batch of maps, (B, C, h, w)."""

Forward = Callable[[torch.Tensor], torch.Tensor]
Change = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Feed(Protocol):
    """Gives the logits of images in given views."""

    @property
    def message(self) -> tuple[str, ...]:
        """What is special about it, in words."""

    @property
    def feature_images(self) -> int:
        """Images, each view counted, that were turned into features to make it; 0 where none are kept."""

    def logits(self, forward: Forward, rows: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """Run the network.

        Args:
            forward: Executes it: the network itself, or it compiled.
            rows: int64 (B,), on the device.
            views: Likewise.

        Returns:
            Logits (B, n_classes).
        """

    def batch(
        self, forward: Forward, rows: torch.Tensor, views: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of a batch to train on, and its targets: labels int64 (B,), or float32 (B, n_classes)."""

    def in_batches(self, size: int) -> Self:
        """Return the feed of steps that each take so many images: these call :meth:`load` before every batch."""

    def load(self, rows: torch.Tensor) -> None:
        """Bring to the device what the next batch needs and the device lacks.

        Args:
            rows: int64 (size,), on the host; the same as the batch is then asked for.
        """


class DeviceFeed:
    """Part of a feed that has on the device whatever it needs."""

    def in_batches(self, size: int) -> Self:
        """See :class:`Feed`."""
        del size
        return self

    def load(self, rows: torch.Tensor) -> None:
        """See :class:`Feed`."""


class UnchangedBatches(DeviceFeed):
    """Part of a feed whose batches are trained on as they are."""

    def batch(
        self: Feed, forward: Forward, rows: torch.Tensor, views: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Feed`."""
        return self.logits(forward, rows, views), labels


@dataclass(frozen=True)
class PixelFeed(UnchangedBatches):
    """The whole network runs on every image.

    Attributes:
        network: In whatever mode it is.
        images: uint8 (N, 3, S, S), on the network's device, or on the host where they do not fit.
        normalisation: Of the input.
        stream: Batches of images that stay on the host, in the feed of steps.
    """

    network: nn.Module
    images: torch.Tensor
    normalisation: Normalisation
    feature_images: int = 0
    stream: StreamedImages | None = None

    @property
    def is_streamed(self) -> bool:
        """Whether the images lie elsewhere than the network."""
        return self.images.device != next(self.network.parameters()).device

    @property
    def message(self) -> tuple[str, ...]:
        """See :class:`Feed`."""
        return ("images streamed from the host's memory",) if self.is_streamed else ()

    def in_batches(self, size: int) -> Self:
        """See :class:`Feed`."""
        if not self.is_streamed:
            return self
        device = next(self.network.parameters()).device
        return replace(self, stream=StreamedImages(self.images, size, device))

    def load(self, rows: torch.Tensor) -> None:
        """See :class:`Feed`."""
        if self.stream is not None:
            self.stream.load(rows)

    def logits(self, forward: Forward, rows: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See :class:`Feed`."""
        return forward(self.pixels(rows, views))

    def pixels(self, rows: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """Return normalised images (B, 3, S, S) in their views."""
        if self.stream is not None:
            chosen = self.stream.batch
        else:
            chosen = self.images[rows.to(self.images.device)].to(rows.device)
        return self.normalisation.apply(view_images(chosen, views))


@dataclass(frozen=True)
class FeatureFeed(UnchangedBatches):
    """Only what stands behind the frozen prefix runs.

    Attributes:
        prefix: The cut network.
        features: What the prefix makes of images in their views, (M, V, ...), maps with their channels last.
        places: Where each image stands among them, int64 (N,).
        seconds: What making them took, whoever made them.
        is_shared: Whether they were there already; they cost nothing again where training goes on from a checkpoint.
    """

    prefix: FrozenPrefix
    features: torch.Tensor
    places: torch.Tensor
    seconds: float
    is_shared: bool

    @property
    def message(self) -> tuple[str, ...]:
        """See :class:`Feed`."""
        return ("frozen prefix cached",)

    @property
    def feature_images(self) -> int:
        """See :class:`Feed`."""
        return len(self.places) * self.features.shape[1]

    def logits(self, forward: Forward, rows: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See :class:`Feed`."""
        features = self.features[self.places[rows], views]
        maps = features.permute(0, 3, 1, 2) if features.dim() == MAPS else features
        return self.prefix.rest(maps, forward)


@dataclass(frozen=True)
class ChangedFeed:
    """The whole network runs on images that the model changes batch by batch.

    Attributes:
        source: The images as they are.
        change: From normalised images (B, 3, S, S) and labels (B,) to what is trained on.
    """

    source: PixelFeed
    change: Change
    feature_images: int = 0

    @property
    def message(self) -> tuple[str, ...]:
        """See :class:`Feed`."""
        return (*self.source.message, "batches changed by the model")

    def in_batches(self, size: int) -> Self:
        """See :class:`Feed`."""
        return replace(self, source=self.source.in_batches(size))

    def load(self, rows: torch.Tensor) -> None:
        """See :class:`Feed`."""
        self.source.load(rows)

    def logits(self, forward: Forward, rows: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See :class:`Feed`."""
        return self.source.logits(forward, rows, views)

    def batch(
        self, forward: Forward, rows: torch.Tensor, views: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Feed`."""
        images, targets = self.change(self.source.pixels(rows, views), labels)
        return forward(images), targets
