"""Views of images, on the road of the CPU and on that of devices that must not ask the host."""

import pytest
import torch

from harness.data.augment import SYMMETRIES, view_images


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])  # bytes are copied, others gathered as on a GPU
@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_shown_in_its_own_view(dtype: torch.dtype, channels: int):
    images = torch.randint(0, 256, (24, channels, 7, 7), dtype=dtype, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    views = torch.arange(24) % len(SYMMETRIES)
    shown = view_images(images, views)
    ways = list(SYMMETRIES.values())
    assert torch.equal(shown, torch.stack([ways[view](image) for view, image in zip(views, images, strict=True)]))
    assert torch.equal(images, before)


def test_images_that_are_parts_of_others_are_read_where_they_lie():
    images = torch.randint(0, 256, (8, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views = torch.arange(8)
    part = images[:, :, 1:6, 2:7]
    assert torch.equal(view_images(part, views), view_images(part.contiguous(), views))


def test_no_images():
    assert view_images(torch.empty((0, 3, 4, 4), dtype=torch.uint8), torch.empty(0, dtype=torch.int64)).shape[0] == 0
