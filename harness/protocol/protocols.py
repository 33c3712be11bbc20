"""The split protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from harness.data.description import DataSetDescription, plural
from harness.errors import SplitError, did_you_mean
from harness.protocol.group_assignment import assign_groups, class_sets
from harness.protocol.names import (
    FIVE_FOLD,
    GROUP_FIVE_FOLD,
    HOLDOUT,
    LEAKY_PROTOCOLS,
    PAPER_RANDOM,
    TEST,
    TRAIN,
    VALIDATION,
)

Level = Literal["group", "subgroup"]
Divide = Callable[[pd.DataFrame, int], pd.DataFrame]
_FIVE = range(5)
_HOLD_OUTS = (1, 2, 3, 4, 5)
# One 7:1:2 split is a block of ten places. Test and validation places are spread over it, so that a last block that is
# not full still feeds all three sides.
_TENTHS = (TRAIN, TEST, TRAIN, TRAIN, VALIDATION, TRAIN, TRAIN, TEST, TRAIN, TRAIN)


@dataclass(frozen=True)
class Protocol:
    """A way to divide images.

    Attributes:
        name: As tables name it.
        title: One line for table headings.
        level: The manifest column that must not stand on two sides; what the gate checks.
        group: The same in the data set's own word, such as ``accession``.
        folds: The folds' numbers.
        cross_validates: True where every image is tested once per seed, so that predictions are pooled over folds;
            False for hold-outs, whose numbers are averaged.
        divide: From used images and a seed to ``image fold side``, one row an image and fold.
    """

    name: str
    title: str
    level: Level
    group: str
    folds: tuple[int, ...]
    cross_validates: bool
    divide: Divide

    @property
    def leaks(self) -> bool:
        """True where patients stand on two sides by design."""
        return self.name in LEAKY_PROTOCOLS


def split_images(protocol: Protocol, images: pd.DataFrame, seeds: tuple[int, ...]) -> pd.DataFrame:
    """Divide images under a protocol, once for all strata.

    Args:
        protocol: One of :func:`protocols_of`.
        images: The used rows of a manifest.
        seeds: One division a seed.

    Returns:
        ``image fold seed side``, sorted, one row an image, fold and seed.

    Raises:
        SplitError: The images do not allow it.
    """
    divided = pd.concat([protocol.divide(images, seed).assign(seed=seed) for seed in seeds])
    return divided[["image", "fold", "seed", "side"]].sort_values(["seed", "fold", "image"], ignore_index=True)


def _sets(images: pd.DataFrame, level: Level, classes: Sequence[str]) -> pd.Series[Any]:
    return class_sets(images[level], images["label"].map(dict(enumerate(classes))))


def _five_folds(level: Level, classes: Sequence[str]) -> Divide:
    def divide(images: pd.DataFrame, seed: int) -> pd.DataFrame:
        home = assign_groups(images[level], _sets(images, level, classes), seed, _FIVE)
        return pd.concat([_fold(images, fold, _rotate(home, fold)) for fold in _FIVE])

    return divide


def _rotate(home: pd.Series[int], fold: int) -> pd.Series[str]:
    """Fold k tests, fold k + 1 validates, the other three train."""
    return home.map({fold: TEST, (fold + 1) % len(_FIVE): VALIDATION}).fillna(TRAIN)


def _holdout(classes: Sequence[str]) -> Divide:
    def divide(images: pd.DataFrame, seed: int) -> pd.DataFrame:
        return _fold(images, 0, deal_tenths(images["group"], _sets(images, "group", classes), seed))

    return divide


def _paper_random(classes: Sequence[str]) -> Divide:
    def divide(images: pd.DataFrame, seed: int) -> pd.DataFrame:
        named = images["label"].map(dict(enumerate(classes))) + " at " + images["stratum"]
        return _fold(images, 0, deal_tenths(images["name"], class_sets(images["name"], named), seed))

    return divide


def deal_tenths(groups: pd.Series[str], strata: pd.Series[Any], seed: int) -> pd.Series[str]:
    """Divide 7:1:2: the side of each image, whole groups together and strata spread evenly."""
    return assign_groups(groups, strata, seed, range(len(_TENTHS))).map(dict(enumerate(_TENTHS)))


def _published(name: str, classes: Sequence[str]) -> Divide:
    """The published hold-outs; they have no validation side, so a fifth of the training groups becomes one."""

    def divide(images: pd.DataFrame, seed: int) -> pd.DataFrame:
        known = images["hold_outs"].notna()
        if not known.all():
            raise SplitError(
                f"{name} divides official images only; {(~known).sum()} are not on the list, "
                f"the first is {images.loc[~known, 'name'].iloc[0]} - choose another protocol"
            )
        folds = []
        for fold in _HOLD_OUTS:
            tested = images["hold_outs"].map(lambda numbers, fold=fold: fold in numbers).astype(bool)
            rest = images[~tested]
            home = assign_groups(rest["group"], _sets(rest, "group", classes), seed, _FIVE)
            side = home.eq(0).map({True: VALIDATION, False: TRAIN}).reindex(images.index, fill_value=TEST)
            folds.append(_fold(images, fold, side))
        return pd.concat(folds)

    return divide


def _fold(images: pd.DataFrame, fold: int, side: pd.Series[str]) -> pd.DataFrame:
    return pd.DataFrame({"image": images["name"], "fold": fold, "side": side})


def protocols_of(data_set: DataSetDescription) -> dict[str, Protocol]:
    """Return the protocols that a data set can be divided under, by name; the first is the strictest."""
    levels: tuple[tuple[Level, str], ...] = (("group", data_set.group),)
    if data_set.has_subgroups:
        levels = (*levels, ("subgroup", data_set.subgroup))
    group, classes = plural(data_set.group), data_set.classes
    found = [_apart(level, word, classes) for level, word in levels]
    if data_set.hold_outs is not None:
        level, word = levels[-1]
        title = f"the five published hold-outs, by {word}" + (" and diagnosis" if data_set.subtype else "")
        divide = _published(data_set.hold_outs, classes)
        found.append(
            Protocol(
                data_set.hold_outs,
                title,
                level,
                word,
                _HOLD_OUTS,
                cross_validates=False,
                divide=divide,
            )
        )
    found.append(
        Protocol(
            HOLDOUT,
            f"one 7:1:2 split, {group} kept apart",
            "group",
            data_set.group,
            (0,),
            cross_validates=False,
            divide=_holdout(classes),
        )
    )
    found.append(
        Protocol(
            PAPER_RANDOM,
            "one random 7:1:2 split over images",
            "group",
            data_set.group,
            (0,),
            cross_validates=False,
            divide=_paper_random(classes),
        )
    )
    return {protocol.name: protocol for protocol in found}


def find_protocol(name: str, data_set: DataSetDescription) -> Protocol:
    """Return a protocol of a data set; ``group-5fold`` stands for the one that keeps its groups apart.

    Raises:
        SplitError: The data set has no such protocol.
    """
    known = protocols_of(data_set)
    if name == GROUP_FIVE_FOLD:
        return next(iter(known.values()))
    if name not in known:
        names = [GROUP_FIVE_FOLD, *known]
        raise SplitError(
            f"{data_set.name} has no protocol '{name}'{did_you_mean(name, names)} (it has {', '.join(names)})"
        )
    return known[name]


def _apart(level: Level, word: str, classes: Sequence[str]) -> Protocol:
    return Protocol(
        FIVE_FOLD.format(word.replace(" ", "-")),
        f"five folds, {plural(word)} kept apart",
        level,
        word,
        tuple(_FIVE),
        cross_validates=True,
        divide=_five_folds(level, classes),
    )
