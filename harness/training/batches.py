"""Batches of images and views, drawn once an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from harness.data.augment import VIEWS


class Batches:
    """The batches of an epoch, all of one size; what is left over waits for the next shuffle.

    A step takes the next batch without the host's help, so that it can be captured and replayed.

    Args:
        images: How many there are.
        augmentation: ``sixfold``, ``random`` or ``none``, as in :class:`~harness.Schedule`.
        size: Images a batch; a set smaller than that is one batch.
        device: Of the steps.
        seed: Of the shuffles. They are drawn on the host: the same on every device.
    """

    def __init__(self, images: int, augmentation: str, size: int, device: torch.device, seed: int) -> None:
        self._images, self._augmentation = images, augmentation
        self.generator = torch.Generator().manual_seed(seed)
        length = images * (views_shown(augmentation) if augmentation == "sixfold" else 1)
        self.size = min(size, length)
        self.count = length // self.size
        self._rows, self._views = (torch.zeros(length, dtype=torch.int64, device=device) for _ in range(2))
        self._host_rows, self._host_position = torch.zeros(length, dtype=torch.int64), 0
        self.position = torch.zeros((), dtype=torch.int64, device=device)
        self._offsets = torch.arange(self.size, device=device)

    def shuffle(self) -> None:
        """Begin an epoch."""
        rows, views = self._draw()
        self._rows.copy_(rows)
        self._views.copy_(views)
        self.position.zero_()
        self._host_rows, self._host_position = rows, 0

    def take(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next batch's rows and views, int64 (size,) each; behind the last one it begins again."""
        at = (self.position + self._offsets) % len(self._rows)
        self.position += self.size
        return self._rows[at], self._views[at]

    def next_rows(self) -> torch.Tensor:
        """Return the rows that :meth:`take` gives next, int64 (size,), on the host; to be called before every step."""
        first, length = self._host_position % len(self._host_rows), len(self._host_rows)
        self._host_position += self.size
        behind = first + self.size - length
        rows = self._host_rows[first : first + self.size]
        return rows if behind <= 0 else torch.cat([rows, self._host_rows[:behind]])

    def _draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._augmentation == "sixfold":
            order = torch.randperm(self._images * len(VIEWS), generator=self.generator)
            return order // len(VIEWS), order % len(VIEWS)
        rows = torch.randperm(self._images, generator=self.generator)
        if self._augmentation == "random":
            return rows, torch.randint(len(VIEWS), (self._images,), generator=self.generator)
        return rows, torch.zeros_like(rows)


def views_shown(augmentation: str) -> int:
    """How many of the six views an augmentation shows."""
    return 1 if augmentation == "none" else len(VIEWS)


def whole_batches(rows: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """Cut rows into batches of one size; the last overlaps the one before."""
    size = min(size, len(rows))
    for start in range(0, len(rows), size):
        end = min(start + size, len(rows))
        yield rows[end - size : end]
