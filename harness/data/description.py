"""Description of a data set: its classes, what is kept apart, the columns of its tables."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ONE_STRATUM = "all"
"""The stratum of a data set that has none."""

_Count = Annotated[int, Field(ge=0, le=10**12)]
_Word = Annotated[str, Field(min_length=1, max_length=100)]


class DataSetDescription(BaseModel):
    """A data set in words and names, as ``run.json`` keeps it.

    Attributes:
        name: What a config calls it, or the name of a cohort's table.
        classes: Names in the order of their labels, two or more; of two the second is the positive one.
        groups: What images belong to, the largest first (``accession``, ``slide``): the first is kept apart. None where
            nobody knows who belongs together.
        strata: What tables have a column for, in their order.
        subtype: What classes divide into, such as ``tumour type``; None where they do not.
        hold_outs: The protocol of published hold-outs, such as ``official5``; None where there is none.
        naming: How its files are known, such as ``a name like ...``; None where it does not say.
        published_images: Published numbers of images: by stratum, one a class. Empty where there are none.
        published_cases: Published numbers of the smallest groups, under a subtype each, one a class; empty likewise.
        notes: Sentences about the images found that every table must carry.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    name: _Word
    classes: Annotated[list[_Word], Field(min_length=2, max_length=1000)]
    groups: Annotated[list[_Word], Field(max_length=2)]
    strata: Annotated[list[_Word], Field(min_length=1, max_length=1000)]
    subtype: _Word | None = None
    hold_outs: _Word | None = None
    naming: _Word | None = None
    published_images: dict[_Word, list[_Count]] = Field(default_factory=dict)
    published_cases: list[_Count] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    @property
    def group(self) -> str:
        """What is kept apart, in a word."""
        return self.groups[0] if self.groups else "image"

    @property
    def subgroup(self) -> str:
        """The smallest of what images belong to, in a word."""
        return self.groups[-1] if self.groups else "image"

    @property
    def has_subgroups(self) -> bool:
        """True where groups consist of smaller ones."""
        return len(self.groups) > 1

    @property
    def is_binary(self) -> bool:
        """True for two classes."""
        return len(self.classes) == 2

    @property
    def positive(self) -> str:
        """The class that a binary metric is about."""
        return self.classes[1]


def plural(word: str) -> str:
    """Return a noun's plural: ``accessions``, ``biopsies``."""
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in set("aeiou") else f"{word}s"
