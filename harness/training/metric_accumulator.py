"""Loss and confusion counts, accumulated on the device."""

from __future__ import annotations

import torch


class MetricAccumulator:
    """Sums up the batches of an epoch.

    Args:
        n_classes: Of the network's output.
        device: Where the sums are kept.
        class_weights: float32 (n_classes,), of a weighted loss; None for a plain one.
    """

    def __init__(self, n_classes: int, device: torch.device, class_weights: torch.Tensor | None) -> None:
        self._loss = torch.zeros((), device=device)
        self._weight = torch.zeros((), device=device)
        self._class_weights = class_weights if class_weights is not None else torch.ones(n_classes, device=device)
        self._confusion = torch.zeros(n_classes * n_classes, dtype=torch.int64, device=device)
        self._n_classes = n_classes

    @property
    def state(self) -> list[torch.Tensor]:
        """The sums."""
        return [self._loss, self._weight, self._confusion]

    def reset(self) -> None:
        """Begin anew."""
        for total in self.state:
            total.zero_()

    def add(self, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Count a batch: mean loss (), logits (N, n_classes), labels int64 (N,)."""
        weight = self._class_weights[labels].sum()  # what the batch's mean was divided by
        self._loss += loss.detach() * weight
        self._weight += weight
        cells = labels * self._n_classes + logits.detach().argmax(1)
        self._confusion.index_add_(0, cells, torch.ones_like(cells))

    def result(self) -> tuple[float, float, float]:
        """Return mean loss, accuracy, and balanced accuracy over the classes that occurred."""
        confusion = self._confusion.view(self._n_classes, self._n_classes).double().cpu()
        per_class = confusion.sum(1)
        present = per_class > 0
        recall = confusion.diagonal()[present] / per_class[present]
        total = float(per_class.sum())
        return float(self._loss / self._weight), float(confusion.trace()) / total, float(recall.mean())
