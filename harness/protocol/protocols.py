"""The split protocols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from harness.data.names import CLASSES
from harness.data.official import OFFICIAL_FOLDS, official_list
from harness.errors import SplitError
from harness.protocol.group_assignment import assign_groups
from harness.protocol.names import LEAKY_PROTOCOLS, TEST, TRAIN, VALIDATION, ProtocolName

_FIVE = range(5)
# One 7:1:2 split is a block of ten places. Test and validation places are spread over it, so that a last block that is
# not full still feeds all three sides.
_TENTHS = (TRAIN, TEST, TRAIN, TRAIN, VALIDATION, TRAIN, TRAIN, TEST, TRAIN, TRAIN)


@dataclass(frozen=True)
class Protocol:
    """A way to divide images.

    Attributes:
        name: As a config names it.
        title: One line for table headings.
        group: The manifest column that must not stand on two sides; what the gate checks.
        folds: The folds' numbers.
        cross_validates: True where every image is tested once per seed, so that predictions are pooled over folds;
            False for hold-outs, whose numbers are averaged.
        divide: From used images and a seed to ``image fold side``, one row an image and fold.
    """

    name: ProtocolName
    title: str
    group: Literal["accession", "slide"]
    folds: tuple[int, ...]
    cross_validates: bool
    divide: Callable[[pd.DataFrame, int], pd.DataFrame]

    @property
    def leaks(self) -> bool:
        """True where patients stand on two sides by design."""
        return self.name in LEAKY_PROTOCOLS


def split_images(protocol: Protocol, images: pd.DataFrame, seeds: tuple[int, ...]) -> pd.DataFrame:
    """Divide images under a protocol, once for all magnifications.

    Args:
        protocol: One of :data:`PROTOCOLS`.
        images: The used rows of a manifest.
        seeds: One division a seed.

    Returns:
        ``image fold seed side``, sorted, one row an image, fold and seed.

    Raises:
        SplitError: The images do not allow it.
    """
    divided = pd.concat([protocol.divide(images, seed).assign(seed=seed) for seed in seeds])
    return divided[["image", "fold", "seed", "side"]].sort_values(["seed", "fold", "image"], ignore_index=True)


def _class_names(images: pd.DataFrame) -> pd.Series[str]:
    return images["label"].map(dict(enumerate(CLASSES)))


def _five_folds(group: str) -> Callable[[pd.DataFrame, int], pd.DataFrame]:
    def divide(images: pd.DataFrame, seed: int) -> pd.DataFrame:
        home = assign_groups(images[group], _class_names(images), seed, _FIVE)
        return pd.concat([_fold(images, fold, _rotate(home, fold)) for fold in _FIVE])

    return divide


def _rotate(home: pd.Series[int], fold: int) -> pd.Series[str]:
    """Fold k tests, fold k + 1 validates, the other three train."""
    return home.map({fold: TEST, (fold + 1) % len(_FIVE): VALIDATION}).fillna(TRAIN)


def _holdout(images: pd.DataFrame, seed: int) -> pd.DataFrame:
    return _fold(images, 0, deal_tenths(images["accession"], _class_names(images), seed))


def _paper_random(images: pd.DataFrame, seed: int) -> pd.DataFrame:
    strata = _class_names(images) + " at " + images["stratum"]
    return _fold(images, 0, deal_tenths(images["name"], strata, seed))


def deal_tenths(groups: pd.Series[str], strata: pd.Series[str], seed: int) -> pd.Series[str]:
    """Divide 7:1:2: the side of each image, whole groups together and strata spread evenly."""
    return assign_groups(groups, strata, seed, range(len(_TENTHS))).map(dict(enumerate(_TENTHS)))


def _official(images: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The published hold-outs; they have no validation side, so a fifth of the training accessions becomes one."""
    official = official_list()
    known = images["name"].isin(official.index)
    if not known.all():
        raise SplitError(
            f"official5 divides official images only; {(~known).sum()} are not on the list, "
            f"the first is {images.loc[~known, 'name'].iloc[0]} - choose another protocol"
        )
    test_folds = images["name"].map(official["test_folds"])
    folds = []
    for fold in OFFICIAL_FOLDS:
        tested = test_folds.map(lambda numbers, fold=fold: fold in numbers).astype(bool)
        rest = images[~tested]
        home = assign_groups(rest["accession"], _class_names(rest), seed, _FIVE)
        side = home.eq(0).map({True: VALIDATION, False: TRAIN}).reindex(images.index, fill_value=TEST)
        folds.append(_fold(images, fold, side))
    return pd.concat(folds)


def _fold(images: pd.DataFrame, fold: int, side: pd.Series[str]) -> pd.DataFrame:
    return pd.DataFrame({"image": images["name"], "fold": fold, "side": side})


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "accession-5fold",
            "five folds, accessions kept apart",
            "accession",
            tuple(_FIVE),
            cross_validates=True,
            divide=_five_folds("accession"),
        ),
        Protocol(
            "slide-5fold",
            "five folds, slides kept apart",
            "slide",
            tuple(_FIVE),
            cross_validates=True,
            divide=_five_folds("slide"),
        ),
        Protocol(
            "official5",
            "the five published hold-outs, by slide and diagnosis",
            "slide",
            OFFICIAL_FOLDS,
            cross_validates=False,
            divide=_official,
        ),
        Protocol(
            "holdout",
            "one 7:1:2 split, accessions kept apart",
            "accession",
            (0,),
            cross_validates=False,
            divide=_holdout,
        ),
        Protocol(
            "paper-random",
            "one random 7:1:2 split over images",
            "accession",
            (0,),
            cross_validates=False,
            divide=_paper_random,
        ),
    )
}
