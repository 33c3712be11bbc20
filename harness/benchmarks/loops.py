"""Plain training loops, as a good student writes them, to hold the shared loop against."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.io import decode_image, encode_jpeg, write_file
from torchvision.transforms import v2

from harness.plugin_api.model import LabeledImages
from harness.plugin_api.schedule import Schedule
from harness.training.auto import resolve_precision
from harness.training.concurrent import TrainingSpec
from harness.training.feed import Forward
from harness.training.normalisation import Normalisation

_ORIGINAL = (460, 700)  # height and width of BreakHis' files

Batch = tuple[torch.Tensor, torch.Tensor]
NextBatch = Callable[[], Batch]
"""Gives normalised images (B, 3, S, S), channels last, and labels (B,), on the device."""


@dataclass(frozen=True)
class PlainLoop:
    """A plain PyTorch loop: channels last, autocast, SGD.

    Attributes:
        network: On the device; trained in place.
        schedule: Rate, momentum and weight decay.
        precision: ``bf16`` or ``float32``.
        frozen: Names of modules that stay as they are: no gradients, batch-norm statistics fixed.
    """

    network: nn.Module
    schedule: Schedule
    precision: str
    frozen: tuple[str, ...] = ()

    @classmethod
    def of(cls, order: TrainingSpec, precision: str = "") -> PlainLoop:
        """Return a loop that trains a fresh network of an order, in the order's precision if no other is given."""
        model, device = order.make(), torch.device(order.device)
        network = model.network_for(order.context().classes, order.size).to(device)
        chosen = precision or resolve_precision(order.schedule.precision, device.type)
        return cls(network, order.schedule, chosen, model.frozen(network))

    def step(self, next_batch: NextBatch, forward: Forward | None = None) -> Callable[[], torch.Tensor]:
        """Return what trains on the next batch and returns its loss ().

        Args:
            next_batch: Gives images, or whatever ``forward`` takes, and labels.
            forward: From them to logits; by default the network itself.
        """
        network, schedule = self.network, self.schedule
        run = network if forward is None else forward  # a compiled network cannot say whether it is true
        network.to(memory_format=torch.channels_last).train()
        for name in self.frozen:
            network.get_submodule(name).requires_grad_(requires_grad=False).eval()
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(
            parameters, schedule.learning_rate, schedule.momentum, weight_decay=schedule.weight_decay
        )
        loss_function = nn.CrossEntropyLoss()

        def step() -> torch.Tensor:
            images, labels = next_batch()
            with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                loss: torch.Tensor = loss_function(run(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            return loss.detach()

        return step


def plain_step(order: TrainingSpec) -> Callable[[], torch.Tensor]:
    """Return a step of a plain loop on random images that lie ready."""
    return PlainLoop.of(order).step(ready_batches(order.sample(), order.make().normalisation, order.schedule))


def ready_batches(sample: LabeledImages, normalisation: Normalisation, schedule: Schedule) -> NextBatch:
    """Give batches that lie on the device, normalised: no loading, no augmentation."""
    images, size = normalisation.apply(sample.images), schedule.batch_size
    starts = itertools.cycle(range(0, len(sample) - size + 1, size))

    def batch() -> Batch:
        start = next(starts)
        return images[start : start + size], sample.labels[start : start + size]

    return batch


class ImageFiles(Dataset[tuple[torch.Tensor, int]]):
    """JPEG files of BreakHis' size, decoded, resized, turned and normalised one at a time, as a plain data set does.

    Args:
        folder: Where they are written first.
        images: How many.
        size: Side of the square in pixels.
    """

    def __init__(self, folder: Path, images: int, size: int) -> None:
        random = torch.Generator().manual_seed(0)
        folder.mkdir(exist_ok=True)
        self._files = [folder / f"{number}.jpg" for number in range(images)]
        for file in self._files:
            coarse = torch.randint(256, (1, 3, 46, 70), dtype=torch.uint8, generator=random)
            write_file(str(file), encode_jpeg(v2.functional.resize(coarse, list(_ORIGINAL))[0]))
        self._transform = v2.Compose(
            [
                v2.Resize((size, size), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(Normalisation().mean, Normalisation().deviation),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self._transform(decode_image(str(self._files[row]))), row % 2


def loaded_batches(files: ImageFiles, size: int, workers: int, device: torch.device) -> NextBatch:
    """Give batches from a data loader that reads files, in worker processes if there are to be any."""
    loader = DataLoader(
        files,
        size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=True,
        pin_memory=device.type == "cuda",
    )
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def batch() -> Batch:
        images, labels = next(batches)
        images = images.to(device, memory_format=torch.channels_last, non_blocking=True)
        return images, labels.to(device, non_blocking=True)

    return batch
