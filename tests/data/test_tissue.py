"""Tissue, stain strength and outliers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.tissue import low_tissue, measure_tissue, robust_scores, stain_outliers
from harness.synthetic.painting import STAINS


def field(white=240, size=64):
    return np.full((3, size, size), white, np.uint8)


def painted(hematoxylin, eosin, share=0.5, white=240):
    """A field whose upper ``share`` is stained evenly."""
    image = field(white)
    light = white * np.exp(-STAINS @ [hematoxylin, eosin])
    image[:, : round(share * 64)] = np.rint(light).astype(np.uint8)[:, None, None]
    return image


@pytest.mark.parametrize("share", [0.125, 0.5, 0.875])
def test_the_share_of_tissue(share):
    assert measure_tissue(painted(0.5, 0.4, share)).share == share


def test_the_strengths_that_were_painted():
    tissue = measure_tissue(painted(0.6, 0.3))
    assert tissue.hematoxylin == pytest.approx(0.6, abs=0.01)
    assert tissue.eosin == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("white", [120, 205, 255])
def test_an_empty_field_of_any_brightness_has_no_tissue(white):
    tissue = measure_tissue(field(white))
    assert tissue.share == 0
    assert np.isnan([tissue.hematoxylin, tissue.eosin]).all()


def test_a_dim_image_seems_to_be_stained_strongly():
    assert measure_tissue(painted(0.5, 0.3, white=150)).hematoxylin > measure_tissue(painted(0.5, 0.3)).hematoxylin


def test_a_larger_image_of_the_same_shows_the_same():
    small = painted(0.5, 0.4, 0.25)
    large = measure_tissue(small.repeat(8, axis=1).repeat(8, axis=2))
    assert large.share == measure_tissue(small).share
    assert large.eosin == pytest.approx(measure_tissue(small).eosin)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 500), (3, 500, 1)])
def test_thin_images(shape):
    assert measure_tissue(np.zeros(shape, np.uint8)).share == 0


def test_robust_scores_by_hand():
    scores = robust_scores(np.array([1.0, 2, 3, 4, 100, np.nan]))
    assert scores == pytest.approx([-1.349, -0.6745, 0, 0.6745, 0.6745 * 97, 0])


@pytest.mark.parametrize("values", [[], [np.nan], [5.0], [5.0, 5.0, 5.0, 9.0]])
def test_without_a_scale_nothing_is_an_outlier(values):
    assert not robust_scores(np.array(values)).any()


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=20), st.sampled_from([0.5, 2.0, 4.0]))
def test_scores_do_not_depend_on_the_unit(values, factor):
    plain = np.array(values, np.float64)
    assert robust_scores(factor * plain + 7) == pytest.approx(robust_scores(plain))


def test_outliers_are_named_with_their_scores_the_strongest_first():
    images = pd.DataFrame(
        {
            "image": list("abcdefg"),
            "hematoxylin": [0.4, 0.41, 0.42, 0.43, 0.44, 0.9, np.nan],
            "eosin": [0.2, 0.21, 5.0, 0.22, 0.23, 0.24, np.nan],
        }
    )
    found = stain_outliers(images)
    assert [outlier.image for outlier in found] == ["c", "f"]
    assert found[1].hematoxylin_score > 3.5 > abs(found[1].eosin_score)


def test_low_tissue_starts_with_the_emptiest():
    images = pd.DataFrame({"image": ["a", "b", "c"], "share": [0.14, 0.5, 0.0]})
    assert [(low.image, low.share) for low in low_tissue(images)] == [("c", 0.0), ("a", 0.14)]
