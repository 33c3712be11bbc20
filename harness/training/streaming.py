"""Batches of images that lie in the host's memory, copied to the device step by step."""

from __future__ import annotations

import torch

_BUFFERS = 2  # the host fills one while the device still reads the other


class StreamedImages:
    """A batch on the device, always at the same address, filled from images in the host's memory.

    The host gathers a batch into pinned memory, and the device copies it when it comes to it. So the host works on the
    next batch while the device trains on this one, and a captured step finds every batch where it found the first.

    Args:
        images: uint8 (N, 3, S, S), on the host.
        size: Images a batch.
        device: Of the steps.

    Attributes:
        batch: uint8 (size, 3, S, S), on the device; what :meth:`load` has brought.
    """

    def __init__(self, images: torch.Tensor, size: int, device: torch.device) -> None:
        shape, on_cuda = (size, *images.shape[1:]), device.type == "cuda"
        self.batch = torch.zeros(shape, dtype=images.dtype, device=device)
        self._images = images
        self._buffers = [torch.empty(shape, dtype=images.dtype, pin_memory=on_cuda) for _ in range(_BUFFERS)]
        self._copied = [torch.cuda.Event() if on_cuda else None for _ in range(_BUFFERS)]  # type: ignore[no-untyped-call]
        self._turn = 0

    def load(self, rows: torch.Tensor) -> None:
        """Bring the next batch, after everything that the device was asked to do before.

        Args:
            rows: int64 (size,), on the host.
        """
        place, self._turn = self._turn, (self._turn + 1) % _BUFFERS
        buffer, copied = self._buffers[place], self._copied[place]
        if copied is not None:
            copied.synchronize()  # the batch before the last must have left the buffer
        torch.index_select(self._images, 0, rows, out=buffer)
        self.batch.copy_(buffer, non_blocking=True)
        if copied is not None:
            copied.record(torch.cuda.current_stream(self.batch.device))
