"""Tissue share and stain strength of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

STAINS = np.array([[0.65, 0.07], [0.70, 0.99], [0.29, 0.11]])
"""Optical density in R, G, B of unit hematoxylin and eosin (Ruifrok & Johnston, Anal Quant Cytol Histol 2001)."""

TISSUE_DENSITY = 0.15
"""Optical density (natural logarithm) above which a pixel is tissue: beta of Macenko et al., ISBI 2009."""

LOW_TISSUE_SHARE = 0.15
"""A smaller share of tissue is hardly any.

Of 1,477 real BreakHis images one lies below it (0.11, a strip of tissue at the edge of an empty field); the next ones,
from 0.17, are fat and pale stroma that fill the picture.
"""

OUTLYING_SCORE = 3.5
"""Robust z-score beyond which a value is an outlier: Iglewicz & Hoaglin, How to Detect and Handle Outliers, 1993."""

_WHITE = 240.0  # transmitted light as stain normalisation takes it, so that a score tells what it has to cope with
_BACKGROUND_PERCENTILE = 99
_GREEN = 1
_SAMPLES_PER_SIDE = 128
_UNMIX = np.linalg.pinv(STAINS)  # (2, 3): optical density in R, G, B -> hematoxylin, eosin


@dataclass(frozen=True, slots=True)
class Tissue:
    """What an image shows of tissue.

    Attributes:
        share: Share of the pixels that are tissue, 0 to 1.
        hematoxylin: Mean optical density (natural logarithm) of the stain over the tissue; NaN without tissue.
        eosin: The same of eosin.
    """

    share: float
    hematoxylin: float
    eosin: float


@dataclass(frozen=True)
class StainOutlier:
    """An image whose mean optical density in tissue is far from the others', in robust standard deviations."""

    image: str
    hematoxylin_score: float
    eosin_score: float


@dataclass(frozen=True)
class LowTissue:
    """An image with hardly any tissue; ``share`` of its pixels, 0 to 1."""

    image: str
    share: float


def measure_tissue(image: NDArray[np.uint8]) -> Tissue:
    """Measure an image on a grid of its pixels.

    Tissue is told in green, which both stains absorb most, against the image's own background: microscopes' white
    ranges from dim grey to overexposed, and against a fixed white an empty beige field would pass as tissue. The stains
    are unmixed with the vectors of Ruifrok & Johnston (Anal Quant Cytol Histol 2001) against a fixed white, so that an
    image that is far too dark or too bright stands out as well.

    Args:
        image: uint8 (3, H, W), RGB.
    """
    step = max(1, min(image.shape[1:]) // _SAMPLES_PER_SIDE)
    pixels = image[:, ::step, ::step].reshape(3, -1).astype(np.float64) + 1
    background = np.percentile(pixels[_GREEN], _BACKGROUND_PERCENTILE)
    tissue = np.log(background / pixels[_GREEN]) > TISSUE_DENSITY
    if not tissue.any():
        return Tissue(0.0, np.nan, np.nan)
    hematoxylin, eosin = _UNMIX @ np.log(_WHITE / pixels[:, tissue]).mean(axis=1)
    return Tissue(float(tissue.mean()), float(hematoxylin), float(eosin))


def robust_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each value lies from the median, in robust standard deviations.

    0.6745 (x - median) / MAD, after Iglewicz & Hoaglin (1993); see :data:`OUTLYING_SCORE`.

    Args:
        values: float64 (N,); NaN where there is no value.

    Returns:
        float64 (N,); 0 for NaN, and for all where half the values or more are equal, which leaves no scale.
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return np.zeros_like(values)
    distances = values - np.median(known)
    deviation = np.median(np.abs(distances[~np.isnan(values)]))
    if deviation == 0:
        return np.zeros_like(values)
    scores: NDArray[np.float64] = np.nan_to_num(0.6745 * distances / deviation)
    return scores


def stain_outliers(images: pd.DataFrame) -> tuple[StainOutlier, ...]:
    """Find the images that are stained unlike the others, the most unlike first.

    Args:
        images: One row an image: ``image`` (its name), ``hematoxylin`` and ``eosin`` (see :class:`Tissue`).
    """
    scores = np.column_stack([robust_scores(images[stain].to_numpy(np.float64)) for stain in ("hematoxylin", "eosin")])
    strongest = np.abs(scores).max(axis=1)
    rows = [row for row in np.argsort(-strongest, kind="stable") if strongest[row] > OUTLYING_SCORE]
    return tuple(StainOutlier(images["image"].iloc[row], *np.round(scores[row], 2).tolist()) for row in rows)


def low_tissue(images: pd.DataFrame) -> tuple[LowTissue, ...]:
    """Find the images with hardly any tissue, the emptiest first.

    Args:
        images: One row an image: ``image`` (its name) and ``share`` of tissue.
    """
    low = images[images["share"] < LOW_TISSUE_SHARE].sort_values(["share", "image"])
    return tuple(LowTissue(row.image, round(row.share, 4)) for row in low.itertuples())
