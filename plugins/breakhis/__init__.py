"""BreakHis (Spanhol et al., IEEE TBME 2016): 7,909 images of 82 cases at four magnifications."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from harness_plugins.breakhis.generated import invented_plan, official_plan
from harness_plugins.breakhis.layout import misplaced_files
from harness_plugins.breakhis.names import (
    CLASSES,
    MAGNIFICATIONS,
    TWICE_PUBLISHED_SLIDE,
    ImageName,
    parse_stem,
    stratum_name,
)
from harness_plugins.breakhis.official import official_files

from harness import DataSet, GeneratedSlide, ImageRecord, Options, PublishedFile, hookimpl

_SHOWN = 3
_COPIES = {"drop-dc": "its DC copy is dropped", "drop-lc": "its LC copy is dropped", "keep": "both copies are kept"}


class BreakHisOptions(Options):
    """What becomes of the slide that is published twice.

    Attributes:
        slide_13412: The slide published under both DC and LC: which copy to drop, or ``keep`` both.
    """

    slide_13412: Literal["drop-dc", "drop-lc", "keep"] = "drop-dc"


class BreakHis(DataSet):
    """Benign and malignant breast tumours; what files are called says what they are, in whatever folders they lie."""

    name = "breakhis"
    classes = CLASSES
    groups = ("accession", "slide")
    strata = tuple(map(stratum_name, MAGNIFICATIONS))
    subtype = "tumour type"
    hold_outs = "official5"
    naming = "a name like SOB_B_A-14-22549AB-40-001"
    archive = "http://www.inf.ufpr.br/vri/databases/BreaKHis_v1.tar.gz"
    Options = BreakHisOptions

    def records(self, folder: Path, files: Sequence[str]) -> Iterator[ImageRecord]:  # noqa: ARG002 - names say all
        """Read official names; a file with another one is no image of BreakHis."""
        for file in files:
            name = parse_stem(PurePosixPath(file).stem)
            if name is not None:
                yield _record(name, file, left_out=self._is_dropped(name))

    def notes(self, files: Sequence[str]) -> Iterator[str]:
        """Name files in folders that contradict their names."""
        if misplaced := misplaced_files(files):
            few = ", ".join(misplaced[:_SHOWN]) + (", ..." if len(misplaced) > _SHOWN else "")
            yield f"{len(misplaced)} files lie in folders that contradict their names, which count: {few}"

    def findings(self, digests: Mapping[str, str], *, generated: bool) -> Iterator[str]:
        """Say how many images are not the official files, and what becomes of slide 13412."""
        names = [name for stem in digests if (name := parse_stem(stem)) is not None]
        used = [name.stem for name in names if not self._is_dropped(name)]
        other = sum(digests[stem] != (file.sha256 if (file := official_files().get(stem)) else None) for stem in used)
        if other and not generated:
            yield f"{other:,} of {len(used):,} images are not the official files (re-encoded, or generated)."
        if any(name.slide == TWICE_PUBLISHED_SLIDE for name in names):
            yield f"Slide 13412 is published under DC and LC; {_COPIES[self.options.slide_13412]}."

    def published_files(self) -> Iterator[PublishedFile]:
        """List the official files."""
        for file in official_files().values():
            yield PublishedFile(_record(file.name, f"{file.name.stem}.png"), file.sha256)

    def generated(self, groups: int, images: int, *, like_published: bool) -> Iterable[GeneratedSlide]:
        """Plan pictures under official names, or under names in their form."""
        return official_plan() if like_published else invented_plan(groups, images)

    def _is_dropped(self, name: ImageName) -> bool:
        return name.slide == TWICE_PUBLISHED_SLIDE and self.options.slide_13412 == f"drop-{name.tumour_type.lower()}"


def _record(name: ImageName, file: str, *, left_out: bool = False) -> ImageRecord:
    official = official_files().get(name.stem)
    return ImageRecord(
        file=file,
        name=name.stem,
        label=name.class_name,
        groups=(name.accession, name.slide),
        stratum=stratum_name(name.magnification),
        subtype=name.tumour_type,
        hold_outs=official.test_folds if official else None,
        left_out=left_out,
    )


@hookimpl
def harness_register_data_sets(register: Callable[[type[DataSet]], None]) -> None:
    """Offer BreakHis."""
    register(BreakHis)
