"""Predictive value of single properties of a picture, groups apart, before and after each stain normalisation.

A property that predicts the class without showing tissue is a shortcut: a network may use it, and keeping patients
apart does not protect against that. The white point is the light behind the slide. The mean colour is light and stain
together, sharpness is focus and texture together; what is left of them once the light is taken out may be of tissue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.data.background import DARK_LEVEL, background_level
from harness.data.description import DataSetDescription
from harness.data.options import StainMethod
from harness.data.properties import mean_colour, sharpness, white_point
from harness.data.stain import (
    PER_IMAGE,
    Macenko,
    StainNormaliser,
    estimate_profile,
    is_swapped,
    published_profile,
)
from harness.evaluation.bootstrap import draw_patients
from harness.evaluation.metric_intervals import Resampled
from harness.processes import map_in_order
from harness.protocol.names import TEST
from harness.protocol.protocols import protocols_of, split_images
from harness.protocol.stains import by_slide, fitted_on_training
from harness.text import natural_order

AS_FILED = "file"
"""Colours of the file as it is, at full size."""

METHODS: tuple[StainMethod, ...] = ("none", *PER_IMAGE, "slide", "fitted")
PICTURE_SIZE = 64
"""Side of the square at which normalised colours are measured, in pixels."""

_PROPERTIES = {"white point": white_point, "mean colour": mean_colour, "sharpness": sharpness}
_FILE_PROPERTIES = ("file size", "picture size")
_CHUNK, _CHUNKS_WORTH_A_POOL = 64, 4


@dataclass(frozen=True)
class PropertyScore:
    """What a logistic regression on one property predicts at one stratum, groups apart in five folds.

    Attributes:
        name: Of the property.
        colours: ``file``, or the stain normalisation after which it was measured.
        stratum: The column of a table, such as ``200x``.
        auc: Mean over folds, with its 95 % interval over groups; None where there are too few.
        auc_low: Lower bound.
        auc_high: Upper bound.
        balanced_accuracy: Of the same predictions.
    """

    name: str
    colours: str
    stratum: str
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    balanced_accuracy: float | None


@dataclass(frozen=True)
class StainOutcome:
    """What a stain normalisation does to the pictures of one class.

    Attributes:
        method: As in a config.
        label: Of the class.
        images: How many.
        with_background: How many have any background.
        dark_backgrounds: How many of these have one darker than 170 afterwards.
        swapped: In how many haematoxylin and eosin change places.
        unchanged: How many are left as they are, since their stains cannot be told.
    """

    method: str
    label: int
    images: int
    with_background: int
    dark_backgrounds: int
    swapped: int
    unchanged: int


def file_properties(pixels: NDArray[np.uint8], file_bytes: int) -> dict[str, list[float]]:
    """Measure a file as it is.

    Args:
        pixels: uint8 (3, H, W), at full size.
        file_bytes: Size of the file.

    Returns:
        Values by property.
    """
    measured = {name: measure(pixels[None])[0].tolist() for name, measure in _PROPERTIES.items()}
    return {**measured, "file size": [float(file_bytes)], "picture size": [float(side) for side in pixels.shape[1:]]}


def measure_shortcuts(
    used: pd.DataFrame, pictures: NDArray[np.uint8], data_set: DataSetDescription, seed: int
) -> tuple[tuple[PropertyScore, ...], tuple[StainOutcome, ...]]:
    """Measure every property before and after every stain normalisation, and what the latter does to backgrounds.

    Args:
        used: One row an image: ``name sha256 subgroup group subtype stratum label``, and ``properties`` from
            :func:`file_properties`.
        pictures: The same images, resized: uint8 (N, 3, 64, 64).
        data_set: Whose images these are.
        seed: Of the split.

    Raises:
        SplitError: Too few groups to keep apart in five folds.
    """
    table = used.reset_index(drop=True)
    splits = split_images(next(iter(protocols_of(data_set).values())), table, (seed,))
    test = splits[splits["side"] == TEST].set_index("image")["fold"]
    table = table.assign(fold=table["name"].map(test), seed=seed)
    scores = [
        score
        for name in (*_PROPERTIES, *_FILE_PROPERTIES)
        for score in _scores(name, AS_FILED, table, [np.array([row[name] for row in table["properties"]])])
    ]
    outcomes: list[StainOutcome] = []
    for method in METHODS:
        views = [
            _paint(pictures, normalisers, swaps=method == "published")
            for normalisers in normalisers_of(method, table, splits, pictures)
        ]
        outcomes += _outcomes(method, table["label"].to_numpy(), views)
        for name in _PROPERTIES:
            scores += _scores(name, method, table, [np.stack([one.properties[name] for one in view]) for view in views])
    return tuple(scores), tuple(outcomes)


@dataclass(frozen=True)
class _Picture:
    """A picture after normalisation: its properties, and what has become of background and stains."""

    properties: dict[str, NDArray[np.float64]]
    level: float
    swapped: bool
    unchanged: bool


def normalisers_of(
    method: StainMethod, images: pd.DataFrame, splits: pd.DataFrame, pictures: NDArray[np.uint8]
) -> list[list[StainNormaliser | None]]:
    """Return what normalises each picture: one list, or one a fold where the method looks at the fold's sides.

    Args:
        method: As in a config.
        images: One row a picture: ``name sha256 subgroup stratum``.
        splits: ``image fold side`` of one seed, groups apart.
        pictures: uint8 (N, 3, H, W).
    """
    if method not in {"slide", "fitted"}:
        return [[PER_IMAGE.get(method)] * len(pictures)]
    profiles = pd.Series([estimate_profile(picture) for picture in pictures], images.index, dtype=object)
    images = images.assign(profile=profiles)
    found: list[list[StainNormaliser | None]] = []
    for fold in sorted(splits["fold"].unique()):
        sides = images.assign(side=images["name"].map(splits[splits["fold"] == fold].set_index("image")["side"]))
        by_digest = by_slide(sides) if method == "slide" else _fitted(sides)
        found.append([by_digest.get(digest, Macenko()) for digest in sides["sha256"]])
    return found[:1] if method == "slide" else found  # groups apart, a slide is whole on its side in every fold


def _fitted(sides: pd.DataFrame) -> dict[str, StainNormaliser]:
    try:
        return fitted_on_training(sides)
    except ValueError:
        return {}  # no training picture shows stains: each is then painted by itself, or left as it is


def _paint(pictures: NDArray[np.uint8], normalisers: list[StainNormaliser | None], *, swaps: bool) -> list[_Picture]:
    starts = range(0, len(pictures), _CHUNK)
    chunks = [(pictures[at : at + _CHUNK], normalisers[at : at + _CHUNK], swaps) for at in starts]
    return [one for done in map_in_order(_paint_chunk, chunks, _CHUNKS_WORTH_A_POOL) for one in done]


def _paint_chunk(chunk: tuple[NDArray[np.uint8], list[StainNormaliser | None], bool]) -> list[_Picture]:
    pictures, normalisers, swaps = chunk
    painted = [
        plain if normalise is None else normalise(plain) for plain, normalise in zip(pictures, normalisers, strict=True)
    ]
    shown = np.stack([plain if after is None else after for plain, after in zip(pictures, painted, strict=True)])
    measured = {name: measure(shown) for name, measure in _PROPERTIES.items()}
    return [
        _Picture(
            {name: values[place] for name, values in measured.items()},
            background_level(pictures[place], shown[place]),
            swaps and (profile := published_profile(pictures[place])) is not None and is_swapped(profile),
            painted[place] is None,
        )
        for place in range(len(pictures))
    ]


def _outcomes(method: StainMethod, labels: NDArray[np.int64], views: list[list[_Picture]]) -> Iterator[StainOutcome]:
    """Count over pictures, each once: in the first fold for a method that has several."""
    pictures = views[0]
    for label in np.unique(labels):
        own = [picture for picture, of in zip(pictures, labels, strict=True) if of == label]
        yield StainOutcome(
            method,
            int(label),
            len(own),
            with_background=sum(not math.isnan(picture.level) for picture in own),
            dark_backgrounds=sum(picture.level < DARK_LEVEL for picture in own),
            swapped=sum(picture.swapped for picture in own),
            unchanged=sum(picture.unchanged for picture in own),
        )


def _scores(name: str, colours: str, table: pd.DataFrame, views: list[NDArray[np.float64]]) -> Iterator[PropertyScore]:
    """Predict every group from the others; ``views`` are the property's values (N, C), one or one a fold."""
    for stratum in natural_order(table["stratum"].unique()):
        at = table[table["stratum"] == stratum]
        predictions = _predicted(at, views)
        if predictions is None:
            yield PropertyScore(name, colours, stratum, None, None, None, None)
            continue
        patients = draw_patients(predictions)
        found = Resampled(predictions, patients, cross_validated=True)
        auc, accuracy = found.interval("auc"), found.interval("balanced_accuracy")
        values = (None if math.isnan(value) else value for value in (auc.value, auc.low, auc.high, accuracy.value))
        yield PropertyScore(name, colours, stratum, *values)


def _predicted(at: pd.DataFrame, views: list[NDArray[np.float64]]) -> pd.DataFrame | None:
    """Fit on all folds but one, classify that one; None where no fold leaves all classes to the others."""
    parts, labels = [], at["label"].to_numpy()
    classes = np.unique(labels)
    for fold in sorted(at["fold"].unique()):
        values = views[int(fold) if len(views) > 1 else 0][at.index]
        tested = (at["fold"] == fold).to_numpy()
        if len(classes) < 2 or len(np.unique(labels[~tested])) < len(classes):
            continue
        machine = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        machine.fit(values[~tested], labels[~tested])
        probabilities = machine.predict_proba(values[tested])
        columns = {f"p_{place}": probabilities[:, place] for place in range(len(classes))}
        called = (probabilities[:, 1] >= 0.5).astype(int) if len(classes) == 2 else probabilities.argmax(1)
        # numbered anew, since a class may have no image here
        parts.append(at[tested].assign(**columns, predicted=called, label=np.searchsorted(classes, labels[tested])))
    return pd.concat(parts) if parts else None
