"""From a file to pixels, to normalised stains, to texture features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from harness_baselines.texture import lbp_histograms

from harness.data.decode import PixelRecipe, decode, resize_square
from harness.data.stain import Macenko
from harness.synthetic.files import write_png
from harness.synthetic.painting import PictureArray

SIDE = 224


@pytest.fixture(scope="module")
def square(picture: PictureArray) -> PictureArray:
    return resize_square(torch.from_numpy(picture), SIDE, "squash").numpy()


def test_decode(timed, picture: PictureArray, tmp_path: Path):
    write_png(tmp_path / "picture.png", picture)
    content = (tmp_path / "picture.png").read_bytes()
    decoded = timed(decode, content, PixelRecipe(SIDE, "squash", None))
    assert decoded.pixels.shape == (3, SIDE, SIDE)


def test_stain_normalisation(timed, square: PictureArray):
    painted = timed(Macenko(), square)
    assert painted is not None


def test_lbp_features(timed, square: PictureArray):
    grey = square.mean(0).astype(np.uint8)
    histograms = timed(lbp_histograms, grey, (1, 2, 3))
    assert len(histograms) == 10 + 18 + 26
