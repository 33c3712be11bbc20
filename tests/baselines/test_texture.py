"""Histograms of local binary patterns, held against scikit-image's definition."""

import numpy as np
import pytest
from harness_baselines import texture
from harness_baselines.texture import TextureRecipe, haematoxylin, lbp_histograms, texture_features
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.feature import local_binary_pattern


def by_skimage(image, radius):
    patterns = local_binary_pattern(image, 8 * radius, radius, method="uniform").astype(int)
    return np.bincount(patterns.ravel(), minlength=8 * radius + 2) / image.size


def smooth(seed, height=48, width=40):
    """Large flat parts with steps: where neighbours are equal, the last bit of an interpolation decides."""
    levels = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8))
    return np.repeat(np.repeat(levels, 8, 0), 8, 1)


@pytest.mark.parametrize("radius", [1, 2, 3, 4, 5, 8, 13, 33])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.usefixtures("road")
def test_any_radius_counts_as_scikit_image_does(radius, dtype):
    noise = np.random.default_rng(radius).integers(0, np.iinfo(dtype).max, (30, 50), dtype=dtype, endpoint=True)
    for image in (noise, smooth(radius).astype(dtype), noise // np.iinfo(dtype).max):
        assert np.array_equal(lbp_histograms(image, (radius,)), by_skimage(image, radius))


@pytest.mark.usefixtures("road")
@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it stays the same
def test_any_picture_counts_as_scikit_image_does(data):
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    few = st.integers(0, data.draw(st.sampled_from([1, 3, 255])))
    image = data.draw(arrays(dtype, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=few))
    for radius in (1, 2, 3):
        assert np.array_equal(lbp_histograms(image, (radius,)), by_skimage(image, radius))


@pytest.mark.usefixtures("road")
def test_features_are_the_histograms_of_each_image_in_order_whatever_the_threads():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 24, 24), dtype=np.uint8)
    recipe = TextureRecipe((1, 3), "haematoxylin")
    expected = [np.concatenate([by_skimage(haematoxylin(image), radius) for radius in (1, 3)]) for image in images]
    assert np.array_equal(texture_features(images, recipe, threads=3), expected)
    assert np.array_equal(texture_features(images, recipe, threads=1), expected)


def test_the_loop_is_compiled_where_numba_is():
    pytest.importorskip("numba")
    assert texture._count_compiled.machine_code is not None
