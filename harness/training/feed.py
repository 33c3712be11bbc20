"""Input of a network: images, or cached features of its frozen first layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import psutil
import torch
from torch import nn

from harness.data.augment import view_images
from harness.training.batches import whole_batches
from harness.training.normalisation import Normalisation
from harness.training.prefix import FrozenPrefix, find_prefix
from harness.training.streaming import StreamedImages

_TRIAL = 2  # images on which a cut is tried
_MAPS = 4  # dimensions of a batch of maps, (B, C, h, w)

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
        features: What the prefix makes of every image in every view, (V, N, ...), maps with their channels last.
    """

    prefix: FrozenPrefix
    features: torch.Tensor

    @property
    def message(self) -> tuple[str, ...]:
        """See :class:`Feed`."""
        return ("frozen prefix cached",)

    @property
    def feature_images(self) -> int:
        """See :class:`Feed`."""
        return self.features.shape[0] * self.features.shape[1]

    def logits(self, forward: Forward, rows: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See :class:`Feed`."""
        features = self.features[views, rows]
        maps = features.permute(0, 3, 1, 2) if features.dim() == _MAPS else features
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


def make_feed(pixels: PixelFeed, frozen: tuple[str, ...], batch: int, n_views: int, passes: int) -> Feed:
    """Cache what a frozen prefix makes of images, where that saves work and fits.

    Features are computed in batches of the size in which they would be recomputed, so that they are the same to the bit
    on the CPU.

    Args:
        pixels: The network and its images.
        frozen: Names of its frozen modules.
        batch: Images a batch.
        n_views: How many of the six views occur.
        passes: How often all images are used.

    Returns:
        ``pixels`` itself where nothing is gained: no frozen prefix, fewer passes than views, or too little memory.
    """
    if not frozen or passes <= n_views:
        return pixels
    rows = torch.arange(len(pixels.images), device=next(pixels.network.parameters()).device)
    trial = pixels.pixels(rows[:_TRIAL], torch.zeros_like(rows[:_TRIAL]))
    prefix = find_prefix(pixels.network, frozen, trial)
    if prefix is None:
        return pixels
    with torch.no_grad():
        one = _channels_last(prefix.features(trial[:1]))
        if one.numel() * one.element_size() * len(rows) * n_views > memory_for_features(rows.device):
            return pixels
        features = one.new_empty((n_views, len(rows), *one.shape[1:]))
        for view in range(n_views):
            for chosen in whole_batches(rows, batch):
                made = prefix.features(pixels.pixels(chosen, torch.full_like(chosen, view)))
                features[view, chosen] = _channels_last(made)
    return FeatureFeed(prefix, features)


def memory_for_features(device: torch.device) -> int:
    """How many bytes features may take: half of what a device has free, a quarter of what the host has."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 2
    return int(psutil.virtual_memory().available) // 4


def _channels_last(features: torch.Tensor) -> torch.Tensor:
    """Maps (B, C, h, w) as (B, h, w, C); anything else as it is."""
    return features.permute(0, 2, 3, 1) if features.dim() == _MAPS else features
