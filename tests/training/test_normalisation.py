"""Normalisation of the input."""

import pytest
import torch

from harness import Normalisation


@pytest.mark.parametrize("shape", [(5, 3, 6, 8), (1, 3, 1, 1), (0, 3, 4, 4)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_value_is_what_float32_makes_of_it_and_channels_come_last(shape, layout):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(memory_format=layout)
    how = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    mean, deviation = (torch.tensor(of).mul(255).view(1, 3, 1, 1) for of in (how.mean, how.deviation))
    normalised = how.apply(images)
    assert torch.equal(normalised, (images.to(torch.float32) - mean) / deviation)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    assert normalised.dtype == torch.float32
