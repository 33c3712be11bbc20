"""Pictures of an audit: whites of both classes, stain normalisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.audit.shortcuts import METHODS, normalisers_of
from harness.data.description import DataSetDescription
from harness.protocol.protocols import protocols_of, split_images
from harness.text import natural_order

_COLUMNS = 32  # swatches in a row
_PER_CLASS = 8
_GAP = 4
_STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


def draw_whites(images: pd.DataFrame, data_set: DataSetDescription, file: Path) -> None:
    """Draw every image's white point as a swatch, class beside class, and red against green.

    Args:
        images: One row an image: ``stratum label group properties``.
        data_set: Whose images these are.
        file: The PNG to write.
    """
    white = np.array([row["white point"] for row in images["properties"]])
    strata, classes = natural_order(images["stratum"].unique()), data_set.classes
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(3 + 4 * len(classes), 2.6 * len(strata)), dpi=110, layout="constrained")
        axes = figure.subplots(len(strata), len(classes) + 1, squeeze=False, width_ratios=[*[1] * len(classes), 0.8])
        for row, stratum in zip(axes, strata, strict=True):
            for label, place in enumerate(row[:-1]):
                at = ((images["stratum"] == stratum) & (images["label"] == label)).to_numpy()
                _draw_swatches(place, white[at], images["group"].to_numpy()[at])
                place.set_title(f"{stratum}, {classes[label]}: {at.sum()} images", fontsize=9)
                row[-1].scatter(
                    white[at, 0], white[at, 1], s=7, alpha=0.5, color=f"C{3 * label % 10}", label=classes[label]
                )
            row[-1].set(xlabel="white point, red", ylabel="green")
            row[-1].legend(fontsize=8, loc="lower right")
        figure.savefig(file, metadata={"Software": None})


def _draw_swatches(axes: Axes, white: NDArray[np.float64], groups: NDArray[np.str_]) -> None:
    """Fill a panel with swatches, group by group, the darkest group first."""
    brightness = pd.Series(white.mean(axis=1)).groupby(groups).transform("mean").to_numpy()
    order = np.lexsort((groups, brightness))
    rows = max(1, -(-len(white) // _COLUMNS))
    grid = np.full((rows * _COLUMNS, 4), 0.0)
    grid[: len(white)] = np.column_stack([white[order] / 255, np.ones(len(white))])
    axes.imshow(grid.reshape(rows, _COLUMNS, 4), interpolation="nearest")
    axes.set_facecolor("0.45")  # a white swatch must stand out from where there is none
    axes.set(xticks=[], yticks=[], anchor="N")
    axes.spines[:].set_visible(False)


def draw_stains(
    images: pd.DataFrame, pictures: NDArray[np.uint8], data_set: DataSetDescription, seed: int, file: Path
) -> None:
    """Draw some pictures, a column each, after every stain normalisation, a row each; the classes from left to right.

    Args:
        images: One row a picture: ``name sha256 subgroup group stratum label``.
        pictures: uint8 (N, 3, H, W).
        data_set: Whose images these are.
        seed: Of the split that ``fitted`` needs.
        file: The PNG to write.
    """
    images = images.reset_index(drop=True)
    protocol = next(iter(protocols_of(data_set).values()))
    splits = split_images(protocol, images, (seed,))
    stratum = images["stratum"].value_counts().idxmax()
    chosen = np.concatenate([_spread(images, stratum, label) for label in range(len(data_set.classes))])
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(13, 0.95 * len(METHODS)), dpi=110, layout="constrained")
        figure.suptitle(f"{stratum}, from left to right: {', '.join(data_set.classes)}")
        for method, axes in zip(METHODS, figure.subplots(len(METHODS), 1), strict=True):
            normalisers = normalisers_of(method, images, splits, pictures)[0]
            painted = [normalise(pictures[at]) if (normalise := normalisers[at]) else None for at in chosen]
            shown = [pictures[at] if after is None else after for at, after in zip(chosen, painted, strict=True)]
            axes.imshow(np.concatenate([_framed(picture) for picture in shown], axis=2).transpose(1, 2, 0))
            axes.set(xticks=[], yticks=[])
            axes.set_ylabel(method, rotation=0, ha="right", va="center")
            axes.spines[:].set_visible(False)
        figure.savefig(file, metadata={"Software": None})


def _spread(images: pd.DataFrame, stratum: str, label: int) -> NDArray[np.int64]:
    """Choose pictures of a class from different groups as far as there are, evenly over their names."""
    own = images[(images["stratum"] == stratum) & (images["label"] == label)].sort_values("name")
    first = own.drop_duplicates("group")
    own = first if len(first) >= _PER_CLASS else own
    places = np.linspace(0, len(own) - 1, min(_PER_CLASS, len(own))).round().astype(int)
    chosen: NDArray[np.int64] = own.index.to_numpy(np.int64)[places]
    return chosen


def _framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(picture, ((0, 0), (0, _GAP), (0, _GAP)), constant_values=128)
