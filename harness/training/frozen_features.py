"""Features of the frozen first layers of a network in training."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import psutil
import torch
from torch import nn

from harness.cache import Note
from harness.training.batches import whole_batches
from harness.training.execution_modes import clock
from harness.training.feature_set import FeatureSet, prefix_key
from harness.training.feed import MAPS, FeatureFeed, PixelFeed
from harness.training.normalisation import Normalisation
from harness.training.prefix import TRIED, FrozenPrefix, find_prefix
from harness.training.step import autocast

_LEAST_ON_CUDA = 256
"""Images at once, of 224 pixels; of larger ones fewer, so that memory stays the same. An H200 made 5,831 features a
second of DenseNet-121 frozen through its third block at 128 at once, 7,451 at 256 and 9,956 at 1,024."""
_PIXELS = 224
_CLOSE = 0.01  # of the largest feature: few images are summed in another order than a whole batch


class FrozenFeatures:
    """What the frozen first layers of a network make of images: kept, or taken from where all cells share it.

    Args:
        network: In training.
        frozen: Names of its frozen modules.
        normalisation: Of its input.
        precision: ``bf16`` or ``float32``.
        batch_size: Of training.
        sample: uint8 (N, 3, S, S), some images on which the layers are tried.
        shared: The folder of a feature set, or None.
        note: Is told why that is not used.

    Attributes:
        batch: Images at once. Bits depend on it, so images to train, validate and test on take the same.
        sample: A few of the images.
        device: Of the network.
    """

    def __init__(  # noqa: PLR0913 - features depend on all of these
        self,
        network: nn.Module,
        frozen: tuple[str, ...],
        normalisation: Normalisation,
        precision: str,
        batch_size: int,
        sample: torch.Tensor,
        shared: Path | None = None,
        note: Note = print,
    ) -> None:
        self._network, self._frozen, self._normalisation = network, frozen, normalisation
        self._precision, self._folder, self._note = precision, shared, note
        self.sample, self.device = sample[:TRIED].clone(), next(network.parameters()).device
        self.batch = images_at_once(batch_size, sample.shape[-1], self.device.type)

    @cached_property
    def prefix(self) -> FrozenPrefix | None:
        """The network cut behind its frozen first layers; None where it cannot be."""
        rows = torch.arange(len(self.sample), device=self.device)
        with autocast(self.device, self._precision):
            shown = self._pixels(self.sample).pixels(rows, torch.zeros_like(rows))
            return find_prefix(self._network, self._frozen, shown) if self._frozen else None

    @property
    def key(self) -> str:
        """Key of the layers; see :func:`~harness.training.feature_set.prefix_key`.

        Raises:
            ValueError: There are none.
        """
        if self.prefix is None:
            raise ValueError("this network has no frozen first layers")
        return prefix_key(self.prefix, self._normalisation, self._precision, self.batch)

    def feed(self, images: torch.Tensor, n_views: int) -> FeatureFeed | None:
        """Return what gives the logits of images from their features; None where none can be kept.

        Args:
            images: uint8 (N, 3, S, S).
            n_views: How many of the six views are shown.
        """
        if self.prefix is None:
            return None
        if self._shared is not None and (places := self._shared.places_of(images)) is not None:
            shared = self._shared_feed(self.prefix, self._shared, places, n_views)
            if shared is not None:
                return shared
        started, one = clock(self.device), self.example()
        if one.numel() * one.element_size() * len(images) * n_views > memory_for_features(self.device):
            return None
        features = one.new_empty((len(images), n_views, *one.shape[1:]))
        rows = torch.arange(len(images), device=self.device)
        for view in range(n_views):
            for chosen in whole_batches(rows, self.batch):
                features[chosen, view] = self.of(images[chosen.to(images.device)], view)
        return FeatureFeed(self.prefix, features, rows, clock(self.device) - started, is_shared=False)

    def of(self, images: torch.Tensor, view: int) -> torch.Tensor:
        """Return what the layers make of at most one batch of images in one view, (B, ...), maps with channels last.

        Fewer images than a batch are filled up to one: sums over a smaller batch differ in their last bits.

        Raises:
            ValueError: There are no such layers.
        """
        filled = torch.arange(max(self.batch, len(images)), device=images.device) % len(images)
        return self._of(images[filled], view)[: len(images)]

    def example(self) -> torch.Tensor:
        """Return the features of one image, for their shape and type."""
        return self._of(self.sample[:1], 0)

    def _of(self, images: torch.Tensor, view: int) -> torch.Tensor:
        if self.prefix is None:
            raise ValueError("this network has no frozen first layers")
        rows = torch.arange(len(images), device=self.device)
        with torch.no_grad(), autocast(self.device, self._precision):
            made = self.prefix.features(self._pixels(images).pixels(rows, torch.full_like(rows, view)))
        return made.permute(0, 2, 3, 1) if made.dim() == MAPS else made

    def _pixels(self, images: torch.Tensor) -> PixelFeed:
        return PixelFeed(self._network, images, self._normalisation)

    @cached_property
    def _shared(self) -> FeatureSet | None:
        """Features that are there already, if they are of these very layers."""
        if self._folder is None:
            return None
        try:
            shared = FeatureSet.read(self._folder, self.key)
        except (OSError, ValueError, KeyError) as error:
            self._note(f"features that cells share cannot be read ({error}); they are made anew")
            return None
        if shared is None:
            self._note("frozen layers are others than those whose features cells share; theirs are made anew")
        elif not self._agrees(shared):
            self._note(f"features that cells share ({self._folder}) are not what the layers make; they are made anew")
            return None
        return shared

    def _agrees(self, shared: FeatureSet) -> bool:
        """Make the features of a few images again and compare: whoever wrote the set may have gone wrong."""
        places = shared.places_of(self.sample)
        if places is None:
            return True
        made, stored = self._of(self.sample, 0).cpu().float(), shared.features[places, 0].float()
        return made.shape == stored.shape and bool((made - stored).abs().max() <= _CLOSE * made.abs().max())

    def _shared_feed(
        self, prefix: FrozenPrefix, shared: FeatureSet, places: torch.Tensor, n_views: int
    ) -> FeatureFeed | None:
        """Read shared features where they lie on the CPU, and move those of the images to any other device."""
        seconds = shared.seconds_per_image * len(places)
        if self.device.type == "cpu":
            return FeatureFeed(prefix, shared.features, places, seconds, is_shared=True)
        wanted = shared.features.element_size() * shared.features[0, :n_views].numel() * len(places)
        if wanted > memory_for_features(self.device):
            return None
        rows = torch.arange(len(places), device=self.device)
        return FeatureFeed(prefix, shared.features[places, :n_views].to(self.device), rows, seconds, is_shared=True)


def images_at_once(batch_size: int, size: int, device_type: str) -> int:
    """Return how many images are turned into features at once: as many as are trained on, on CUDA mostly more.

    Args:
        batch_size: Of training.
        size: Side of the images in pixels.
        device_type: Of the network's device.
    """
    if device_type != "cuda":
        return batch_size
    return max(batch_size, min(_LEAST_ON_CUDA, _LEAST_ON_CUDA * _PIXELS**2 // size**2))


def memory_for_features(device: torch.device) -> int:
    """How many bytes features may take: half of what a device has free, a quarter of what the host has."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 2
    return int(psutil.virtual_memory().available) // 4
