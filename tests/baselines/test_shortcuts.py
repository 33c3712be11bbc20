"""The shortcut baselines, on pictures whose light alone tells the class."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from harness_baselines.lbp_svm import LbpSvm, LbpSvmOptions
from harness_baselines.shortcuts import MeanColour, Sharpness, WhitePoint
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from harness import LabeledImages, white_point


def pictures(n, seed, shift=12):
    """Noise under a light that is a little greener for class 0."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 4 > 0  # three of four
    pixels = random.integers(60, 200, (n, 3, 16, 16))
    pixels[~labels, 1] += shift
    return LabeledImages(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels.astype(np.int64)))


def test_white_point_is_a_balanced_logistic_regression_on_three_numbers():
    train, test = pictures(120, 0), pictures(40, 1)
    model = WhitePoint()
    model.fit(train, test, None)
    scaler = StandardScaler().fit(white_point(train.images.numpy()))
    machine = LogisticRegression(class_weight="balanced")
    machine.fit(scaler.transform(white_point(train.images.numpy())), train.labels.numpy())
    expected = machine.predict_proba(scaler.transform(white_point(test.images.numpy())))
    assert model.predict_proba(test.images) == pytest.approx(expected)
    assert ((expected[:, 1] > 0.5) == (test.labels.numpy() == 1)).mean() > 0.9
    assert model.describe().parameters == 4


@pytest.mark.parametrize("kind", [WhitePoint, MeanColour, Sharpness])
def test_saved_and_loaded(kind, tmp_path):
    model = kind()
    model.fit(pictures(40, 0), pictures(20, 1), None)
    model.save(tmp_path)
    again = kind()
    again.load(tmp_path, torch.device("cpu"), 2)
    images = pictures(8, 2).images
    assert np.array_equal(model.predict_proba(images), again.predict_proba(images))
    assert kind.is_shortcut


def test_the_texture_baseline_weighs_both_classes_alike(tmp_path):
    """Three of four pictures are of one class, and the other one is recognised all the same."""
    random = np.random.default_rng(0)

    def textured(n, seed):
        made = pictures(n, seed, shift=0)
        rough = random.integers(-20, 20, made.images.shape)
        smooth = np.repeat(np.repeat(rough[..., ::4, ::4], 4, axis=2), 4, axis=3)
        rows = (made.labels == 1).numpy()[:, None, None, None]
        return LabeledImages(torch.from_numpy((128 + np.where(rows, rough, smooth)).astype(np.uint8)), made.labels)

    model = LbpSvm(LbpSvmOptions(penalties=(1.0, 10.0), gammas=(1.0,)))
    model.fit(
        textured(80, 1), textured(40, 2), SimpleNamespace(cache=tmp_path, threads=1, classes=("benign", "malignant"))
    )
    test = textured(60, 3)
    right = model.predict_proba(test.images).argmax(1) == test.labels.numpy()
    assert min(right[test.labels.numpy() == label].mean() for label in (0, 1)) > 0.9
