"""The hot loops of stain normalisation, held against NumPy, compiled and not."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.data import stain_kernels as kernels
from harness.data.stain import PER_IMAGE, Macenko, estimate_profile, published_profile
from harness.kernels import Kernel


def pixels(seed, n=3000):
    """Tissue of two stains with some background: uint8 (3, n)."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(2.0, 0.35, (2, n)) * (rng.random(n) > 0.2)
    light = np.array([[235], [220], [228]]) * np.exp(-np.array([[0.65, 0.30], [0.70, 0.85], [0.29, 0.43]]) @ amounts)
    return np.clip(light + rng.normal(0, 2, light.shape), 0, 255).astype(np.uint8)


@pytest.mark.usefixtures("road")
@given(arrays(np.uint8, st.tuples(st.just(3), st.integers(1, 300))), st.sampled_from([0.0, 1.0, 50.0, 99.0, 100.0]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it stays the same
def test_percentiles_of_levels(levels, percent):
    assert kernels.percentile_levels(levels, percent) == np.percentile(levels, percent, axis=1).tolist()


@given(
    arrays(np.float64, st.integers(1, 5000), elements=st.floats(-10, 10), fill=st.floats(-10, 10)),
    st.sampled_from([0.0, 0.3, 1.0, 50.0, 99.0, 99.7, 100.0]),
)
def test_percentiles_of_any_numbers(values, percent):
    assert kernels.percentile(values, percent) == np.percentile(values, percent)


@pytest.mark.parametrize("percent", [1.0, 99.0])
def test_a_sample_that_misleads_changes_no_percentile(percent):
    values = np.zeros(50_000)
    values[1::2] = np.random.default_rng(0).normal(size=25_000)  # the sample sees zeros alone
    assert kernels.percentile(values, percent) == np.percentile(values, percent)


@pytest.mark.usefixtures("road")
@pytest.mark.parametrize("seed", range(3))
def test_each_loop_is_numpys_expression_to_the_bit(seed):
    image, table = pixels(seed), -np.log((np.arange(256.0) + 1) / np.array([[235.0], [221.5], [228.0]]))
    density = -np.log((image.astype(np.float64) + 1) / np.array([[235.0], [221.5], [228.0]]))
    found, tissue = kernels.densities(image, table)
    assert np.array_equal(found, density)
    expected = density[:, (density > kernels.FAINT).all(axis=0)]
    assert np.array_equal(tissue, expected.T)
    centred = expected - expected.mean(axis=1, keepdims=True)
    assert np.array_equal(kernels.covariance(tissue), np.einsum("in,jn->ij", centred, centred) / expected.shape[1])
    light = np.array([240.0, 200.0, 300.0])
    painted = np.clip(np.rint(light[:, None] * np.exp(-density)), 0, 255).astype(np.uint8)
    assert np.array_equal(kernels.eight_bits(np.exp(-density), light), painted)
    swap = np.random.default_rng(seed).integers(0, 256, (3, 256), dtype=np.uint8)
    assert np.array_equal(kernels.translate(image, swap), np.take_along_axis(swap, image.astype(int), 1))


def test_both_roads_paint_the_same_bytes(monkeypatch):
    pytest.importorskip("numba")
    images = [pixels(seed, 4096).reshape(3, 64, 64) for seed in range(5)]

    def everything():
        profiles = [find(image) for find in (estimate_profile, published_profile) for image in images]
        painted = [normalise(image) for normalise in PER_IMAGE.values() for image in images]
        return profiles, [*painted, *(Macenko(own=profiles[0])(image) for image in images)]

    assert all(found.machine_code for found in vars(kernels).values() if isinstance(found, Kernel))
    profiles, painted = everything()
    monkeypatch.setattr(Kernel, "machine_code", property(lambda _: None))
    again, repainted = everything()
    assert profiles == again
    assert None not in profiles
    assert all(np.array_equal(one, other) for one, other in zip(painted, repainted, strict=True))
