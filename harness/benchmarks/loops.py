"""Plain training loops, as everybody writes them, to hold the shared loop against."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.io import decode_image, encode_jpeg, write_file
from torchvision.transforms import v2

from harness.plugin_api.model import LabeledImages
from harness.plugin_api.schedule import Schedule
from harness.training.normalisation import Normalisation

_ORIGINAL = (460, 700)  # height and width of BreakHis' files


def plain_step(
    network: nn.Module, schedule: Schedule, batches: Callable[[], tuple[torch.Tensor, torch.Tensor]], precision: str
) -> Callable[[], None]:
    """Return one step of a plain PyTorch loop: eager, channels last, autocast, SGD.

    Args:
        network: On the device.
        schedule: Rate, momentum and weight decay.
        batches: Gives normalised images (B, 3, S, S) and labels (B,), on the device.
        precision: ``bf16`` or ``float32``.
    """
    network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        network.parameters(), schedule.learning_rate, schedule.momentum, weight_decay=schedule.weight_decay
    )
    loss_function = nn.CrossEntropyLoss()

    def step() -> None:
        images, labels = batches()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_function(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def ready_batches(
    sample: LabeledImages, normalisation: Normalisation, size: int
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """Give batches that lie on the device, normalised: no loading, no augmentation."""
    images = normalisation.apply(sample.images)
    starts = itertools.cycle(range(0, len(sample) - size + 1, size))

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
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


def loaded_batches(
    files: ImageFiles, size: int, workers: int, device: torch.device
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """Give batches from a data loader that reads files in worker processes."""
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

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = next(batches)
        images = images.to(device, memory_format=torch.channels_last, non_blocking=True)
        return images, labels.to(device, non_blocking=True)

    return batch
