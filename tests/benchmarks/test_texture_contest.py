"""The plain ways that texture is measured against compute the same features."""

from __future__ import annotations

import json

import numpy as np
import texture
from click.testing import CliRunner
from harness_baselines.texture import TextureRecipe, texture_features


def test_plain_features_are_the_same(picture):
    image = np.ascontiguousarray(picture[:, :64, :64])
    ours = texture_features(image[None], TextureRecipe(texture.RADII, "colour"), 1)
    assert np.allclose(texture.plain_features(image), ours[0], atol=1e-12)


def test_everybody_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.benchmarks.images._HEIGHT", 48)
    few = ["--images", "4", "--size", "32", "--rounds", "1", "--seconds", "0.01", "--out", str(tmp_path)]
    done = CliRunner().invoke(texture.main, few, catch_exceptions=False)
    assert done.exit_code == 0
    alone = json.loads((tmp_path / "texture.json").read_text())["results"][0]
    assert [one["name"] for one in alone["placings"]] == ["scikit-image loop", "lbp-svm"]
    assert (tmp_path / "texture.md").read_text() == done.output
