import numpy as np
import pytest

from harness.data.stain import PUBLISHED_REFERENCE, StainProfile, estimate_profile, median_profile, normalise_stain


def stained(vectors, strength, seed=0):
    """An image painted with known stains: nuclei here, stroma there."""
    rng = np.random.default_rng(seed)
    nuclei = rng.random((1, 64 * 64)) < 0.3
    amounts = np.concatenate([np.where(nuclei, 1.2, 0.1), np.where(nuclei, 0.1, 0.8)]) * strength
    amounts = amounts * rng.uniform(0.5, 1.0, amounts.shape)
    light = 240 * np.exp(-(np.array(vectors).T @ amounts))
    return np.clip(light, 0, 255).astype(np.uint8).reshape(3, 64, 64)


H, E = (0.65, 0.70, 0.29), (0.30, 0.85, 0.43)


def test_finds_the_stains_that_were_painted():
    found = np.array(estimate_profile(stained((H, E), 1.0)).vectors)
    expected = np.array([H, E]) / np.linalg.norm([H, E], axis=1, keepdims=True)
    assert (found * expected).sum(1) == pytest.approx([1, 1], abs=0.02)


def test_two_stainings_of_one_slide_come_to_look_alike():
    weak, strong = stained((H, E), 0.7), stained(((0.55, 0.78, 0.30), (0.27, 0.8, 0.54)), 1.3)
    before = abs(weak.astype(float) - strong).mean()
    after = abs(normalise_stain(weak, PUBLISHED_REFERENCE).astype(float) - normalise_stain(strong, PUBLISHED_REFERENCE))
    assert after.mean() < before / 4


@pytest.mark.parametrize(
    "image",
    [
        np.full((3, 32, 32), 255, np.uint8),
        np.zeros((3, 32, 32), np.uint8),
        np.full((3, 32, 32), 128, np.uint8),
        stained((H, H), 1.0),
    ],
    ids=["white", "black", "grey", "one stain"],
)
def test_without_two_stains_there_is_no_profile(image):
    assert normalise_stain(image, PUBLISHED_REFERENCE) is None


def test_hardly_any_tissue():
    image = np.full((3, 64, 64), 250, np.uint8)
    image[:, :2, :2] = 90
    assert estimate_profile(image) is None


def test_median_profile():
    profiles = [StainProfile((H, E), (1.0, 1.0)), StainProfile((H, E), (3.0, 2.0)), StainProfile((H, E), (2.0, 5.0))]
    assert median_profile(profiles).maximum == (2.0, 2.0)
    with pytest.raises(ValueError, match="no stain profile"):
        median_profile([])
