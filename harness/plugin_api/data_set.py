"""The DataSet interface."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import PluginError
from harness.settings import Settings

NAME_OF_A_DATA_SET = r"[A-Za-z0-9][A-Za-z0-9._-]*"


@dataclass(frozen=True)
class ImageRecord:
    """An image of a data set.

    Attributes:
        file: Its path below the data set's folder, as it was given.
        name: What predictions call it; no other image has it.
        label: Its class, one of the data set's.
        groups: What it belongs to, one a level of the data set, the largest first; the first is kept apart.
        stratum: The column of the tables that it counts in, one of the data set's; empty where it has none.
        subtype: What its class divides into; empty where it does not.
        facts: Anything else, by name; kept in the manifest and used for nothing.
        hold_outs: Which of five published hold-outs test it, of 1 to 5; None where there are none.
        left_out: True for an image that is to take no part.
    """

    file: str
    name: str
    label: str
    groups: tuple[str, ...]
    stratum: str = ""
    subtype: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    hold_outs: frozenset[int] | None = None
    left_out: bool = False


@dataclass(frozen=True)
class PublishedFile:
    """A file of a data set as its authors publish it.

    Attributes:
        record: What it is; its ``file`` is the name that it has.
        sha256: Of its content.
    """

    record: ImageRecord
    sha256: str


@dataclass(frozen=True)
class GeneratedSlide:
    """A picture to generate in place of an image of a data set.

    Attributes:
        file: Where it is to lie, below the folder.
        painted_as: The name that decides the picture: its own, or that of a picture that it repeats.
        group: Whose stain and tissue it shows.
        subgroup: Whose cut it shows.
        tissue: What grows in it, such as ``ductal carcinoma``.
        magnification: 40 to 400; nuclei grow with it.
    """

    file: str
    painted_as: str
    group: str
    subgroup: str
    tissue: str
    magnification: int


class DataSet:
    """A data set: which images there are, what they show and what must be kept apart.

    It is made and asked in a process of its own, and answers with records; what it prints goes nowhere. Its module is
    imported as well where plugins are listed and models are found.

    Class attributes:
        name: Unique among all data sets; what ``data.set`` calls it.
        classes: Names in the order of their labels, two or more; of two the second is the positive one.
        groups: The levels that images belong to, in singular, one or two, the largest first (``accession``, ``slide``):
            the first is kept apart.
        strata: What tables have a column for, in their order; none for one column.
        subtype: What classes divide into (``tumour type``); empty where they do not.
        hold_outs: What to call the protocol of published hold-outs; empty where there are none.
        naming: How its files are known, for the error of a folder that holds none: ``a name like ...``.
        archive: Where ``harness data fetch`` gets it from; empty where nobody may.
        Options: The data set's options, of ``data.options``; ``self.options`` holds them.
    """

    name: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]
    groups: ClassVar[tuple[str, ...]]
    strata: ClassVar[tuple[str, ...]] = ()
    subtype: ClassVar[str] = ""
    hold_outs: ClassVar[str] = ""
    naming: ClassVar[str] = ""
    archive: ClassVar[str] = ""
    Options: ClassVar[type[Settings]] = Settings

    def __init__(self, options: Any = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    def records(self, folder: Path, files: Sequence[str]) -> Iterable[ImageRecord]:
        """Say what images are.

        Args:
            folder: Where they lie.
            files: All PNG and JPEG files below it, in the order of their paths.

        Returns:
            A record for each image that belongs to the data set; other files are named and left out.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement records()")

    def notes(self, files: Sequence[str]) -> Iterable[str]:  # noqa: ARG002 - for whoever overrides it
        """Say in sentences what a person should know of these files, such as contradictions; nothing by default."""
        return ()

    def findings(self, digests: Mapping[str, str], *, generated: bool) -> Iterable[str]:  # noqa: ARG002
        """Say in sentences what every table of these images must carry; nothing by default.

        Args:
            digests: sha256 of the file of each image, by name; of those that are left out as well.
            generated: The images are generated.
        """
        return ()

    def published_files(self) -> Iterable[PublishedFile]:
        """List the files as they are published, for ``harness data verify`` and table 1; none by default."""
        return ()

    def generated(self, groups: int, images: int, *, like_published: bool) -> Iterable[GeneratedSlide]:  # noqa: ARG002
        """Plan pictures that stand in for the data set, for ``data.phantom``; none by default.

        Args:
            groups: How many groups to invent, at least five of each class.
            images: Pictures a group and stratum.
            like_published: One for each published name instead.
        """
        return ()


def check_data_set(kind: Any) -> type[DataSet]:
    """Return a registered class if it is a data set that can be used.

    Raises:
        PluginError: It is none.
    """
    if not (isinstance(kind, type) and issubclass(kind, DataSet)):
        raise PluginError(f"register() takes a subclass of harness.DataSet, not {kind!r}")
    for attribute in ("name", "classes", "groups"):
        if not hasattr(kind, attribute):
            raise PluginError(f"{kind.__name__} has no {attribute}; write {attribute} = ... in the class")
    if not (isinstance(kind.name, str) and re.fullmatch(NAME_OF_A_DATA_SET, kind.name)):
        raise PluginError(f"{kind.__name__}: name is letters, digits, dots, dashes and underlines, not {kind.name!r}")
    for attribute, fewest, most in (("classes", 2, 1000), ("groups", 1, 2), ("strata", 0, 1000)):
        names = getattr(kind, attribute)
        texts = isinstance(names, tuple | list) and all(isinstance(name, str) and name for name in names)
        if not texts or len(set(names)) < len(names) or not fewest <= len(names) <= most:
            raise PluginError(f"{kind.__name__}: {attribute} takes {fewest} to {most} different texts, not {names!r}")
    if kind.hold_outs in {"holdout", "paper-random", "group-5fold"}:
        raise PluginError(f"{kind.__name__}: hold_outs cannot be called {kind.hold_outs}, which is another protocol")
    if not (isinstance(kind.Options, type) and issubclass(kind.Options, Settings)):
        raise PluginError(f"{kind.__name__}: Options must be a subclass of harness.Options")
    return kind
