import numpy as np
import pytest
from scipy.ndimage import laplace

from harness import mean_colour, sharpness, white_point

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 20, 30), dtype=np.uint8)


def test_each_property_by_other_means():
    for place, image in enumerate(IMAGES):
        channels = image.reshape(3, -1).astype(float)
        assert white_point(IMAGES)[place] == pytest.approx([np.percentile(channel, 99) for channel in channels])
        assert mean_colour(IMAGES)[place] == pytest.approx(channels.mean(1))
        grey = 0.299 * image[0].astype(float) + 0.587 * image[1] + 0.114 * image[2]
        assert sharpness(IMAGES)[place] == pytest.approx(np.log1p(laplace(grey)[1:-1, 1:-1].var()))


def test_shapes_and_flat_pictures():
    flat = np.full((2, 3, 8, 8), 200, np.uint8)
    assert white_point(flat).tolist() == [[200.0] * 3] * 2
    assert sharpness(flat).tolist() == [[0.0]] * 2
