import numpy as np
import pandas as pd
import pytest

from harness.data.background import DARK_LEVEL, background_level
from harness.data.stain import (
    PER_IMAGE,
    PUBLISHED_REFERENCE,
    Macenko,
    PublishedMacenko,
    Reinhard,
    StainProfile,
    WhiteBalance,
    estimate_profile,
    estimate_white,
    is_swapped,
    median_profile,
    published_profile,
)
from harness.protocol.stains import by_slide, fitted_on_training

H, E = (0.65, 0.70, 0.29), (0.30, 0.85, 0.43)
GREENISH = (195, 222, 190)


def stained(vectors, strength, seed=0, white=(240, 240, 240), background=0.0):
    """An image painted with known stains under a light: nuclei here, stroma there, and some background."""
    rng = np.random.default_rng(seed)
    nuclei = rng.random((1, 64 * 64)) < 0.3
    amounts = np.concatenate([np.where(nuclei, 1.2, 0.1), np.where(nuclei, 0.1, 0.8)]) * strength
    amounts = amounts * rng.uniform(0.5, 1.0, amounts.shape)
    amounts[:, : int(background * amounts.shape[1])] = 0
    light = np.array(white)[:, None] * np.exp(-(np.array(vectors).T @ amounts))
    return np.clip(light, 0, 255).astype(np.uint8).reshape(3, 64, 64)


def unit(vectors):
    return np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("white", [(240, 240, 240), GREENISH, (180, 180, 190)])
def test_finds_the_stains_that_were_painted_whatever_the_light(white):
    profile = estimate_profile(stained((H, E), 1.0, white=white, background=0.1))
    assert (np.array(profile.vectors) * unit((H, E))).sum(1) == pytest.approx([1, 1], abs=0.02)
    assert profile.white == pytest.approx(white, abs=2)


def test_two_stainings_of_one_slide_come_to_look_alike():
    weak = stained((H, E), 0.7, background=0.05)
    strong = stained(((0.55, 0.78, 0.30), (0.27, 0.8, 0.54)), 1.3, white=GREENISH, background=0.05)
    before = abs(weak.astype(float) - strong).mean()
    assert abs(Macenko()(weak).astype(float) - Macenko()(strong)).mean() < before / 3


def test_a_tinted_background_stays_light_unless_the_published_code_paints_it():
    image = stained((H, E), 0.6, white=(180, 210, 175), background=0.3)  # pale and dim, as many benign slides are
    levels = {name: background_level(image, normalise(image)) for name, normalise in PER_IMAGE.items()}
    assert levels.pop("published") < DARK_LEVEL
    assert all(level > 200 for level in levels.values()), levels


def test_stains_are_told_apart_by_angle_not_by_red():
    red_eosin = stained(((0.45, 0.75, 0.48), (0.50, 0.84, 0.22)), 1.0)  # the second absorbs more red
    profile, published = estimate_profile(red_eosin), published_profile(red_eosin)
    assert not is_swapped(profile)
    assert is_swapped(StainProfile(profile.vectors[::-1], profile.maximum))
    assert published.vectors[0][0] >= published.vectors[1][0]


def test_the_published_method_is_the_published_method():
    """Against Macenko's formulas written down once more: white 240, beta 0.15, alpha 1 %."""
    image = stained((H, E), 1.0)
    density = -np.log((image.reshape(3, -1).astype(float) + 1) / 240)
    tissue = density[:, (density > 0.15).all(0)]
    plane = np.linalg.eigh(np.cov(tissue))[1][:, [2, 1]]
    plane *= np.where(plane.sum(0) < 0, -1, 1)
    angles = np.arctan2(*(plane.T @ tissue)[::-1])
    found = [plane @ (np.cos(a), np.sin(a)) for a in np.percentile(angles, (1, 99))]
    own = np.array(sorted(found, key=lambda vector: -vector[0]))
    amounts = np.linalg.lstsq(own.T, density, rcond=None)[0]
    amounts *= (np.array(PUBLISHED_REFERENCE.maximum) / np.percentile(amounts, 99, axis=1))[:, None]
    painted = 240 * np.exp(-(np.array(PUBLISHED_REFERENCE.vectors).T @ amounts))
    expected = np.clip(np.rint(painted), 0, 255).reshape(image.shape)
    assert abs(PublishedMacenko()(image) - expected).max() <= 1


def test_white_balance_takes_out_the_light_and_nothing_else():
    plain, tinted = (stained((H, E), 1.0, white=white, background=0.1) for white in ((240, 240, 240), GREENISH))
    assert abs(WhiteBalance()(tinted).astype(int) - plain).max() <= 2
    assert abs(WhiteBalance()(plain).astype(int) - plain).max() <= 1


def test_reinhard_meets_mean_and_deviation_of_its_reference():
    image = stained((H, E), 1.0, white=GREENISH)
    once = Reinhard()(image)
    again = Reinhard()(once)
    assert abs(again.astype(int) - once).mean() < 3  # what was clipped to 0 to 255 keeps it from being exact


def test_a_picture_without_light_falls_back_to_the_published_white():
    assert estimate_white(np.full((3, 8, 8), 60, np.uint8)) == (240.0, 240.0, 240.0)
    assert estimate_white(np.full((3, 8, 8), 180, np.uint8)) == (180.0, 180.0, 180.0)


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
@pytest.mark.parametrize("method", [Macenko(), PublishedMacenko()])
def test_without_two_stains_there_is_no_profile(image, method):
    assert method(image) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_pictures_of_one_colour(level):
    image = np.full((3, 32, 32), level, np.uint8)
    assert Reinhard()(image) is None
    assert WhiteBalance()(image).shape == image.shape


def test_hardly_any_tissue():
    image = np.full((3, 64, 64), 250, np.uint8)
    image[:, :2, :2] = 90
    assert estimate_profile(image) is None


def test_median_profile():
    profiles = [StainProfile((H, E), (1.0, 1.0)), StainProfile((H, E), (3.0, 2.0)), StainProfile((H, E), (2.0, 5.0))]
    assert median_profile(profiles).maximum == (2.0, 2.0)
    with pytest.raises(ValueError, match="no stain profile"):
        median_profile([])


def test_a_slides_pictures_are_normalised_together_but_not_across_sides():
    profiles = [StainProfile((H, E), (float(n), 1.0)) for n in (1, 2, 3, 10, 5)]
    images = pd.DataFrame(
        {
            "sha256": list("abcde"),
            "subgroup": ["s", "s", "s", "s", "t"],
            "stratum": ["40x"] * 5,
            "side": ["train", "train", "train", "test", None],
            "profile": profiles,
        }
    )
    own = by_slide(images)
    assert {name: own[name].own.maximum[0] for name in "abcd"} == {"a": 2, "b": 2, "c": 2, "d": 10}
    assert "e" not in own
    fitted = fitted_on_training(images)
    assert {one.reference.maximum for one in fitted.values()} == {(2.0, 1.0)}
    with pytest.raises(ValueError, match="no stain profile"):
        fitted_on_training(images.assign(side="test"))
