"""New images: found, and told apart from those of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.config.data_settings import DataSettings
from harness.data.description import DataSetDescription, plural
from harness.data.manifest import IMAGE_SUFFIXES, Described, image_files, sha256_of_files, unread_note, used_images
from harness.errors import DataError, UsageError, did_you_mean
from harness.planning.image_set import asked_data_set
from harness.plugin_api.data_set_answers import ask_images
from harness.protocol.group_assignment import hash_rank
from harness.protocol.names import TEST
from harness.store.schema import DoneRecord

_NAMED = 3


@dataclass(frozen=True)
class NewImages:
    """Images to classify.

    Attributes:
        table: One row a file, in the order given: ``image`` (its path as given), ``path`` (absolute), ``sha256``,
            ``group`` (as the data set tells, otherwise the name of its folder), ``known`` (the data set tells of it),
            ``stratum``.
        notes: What a person should know, in one line each.
    """

    table: pd.DataFrame
    notes: Sequence[str]


@dataclass(frozen=True)
class CellRows:
    """A finished cell, and the rows of :attr:`NewImages.table` that it classifies, in the order that it sees."""

    record: DoneRecord
    images: pd.DataFrame


def find_new_images(paths: Iterable[Path], data: DataSettings, strata: Sequence[str], stratum: str | None) -> NewImages:
    """List image files, each once.

    Args:
        paths: Files, and folders in which they are found as a run finds its own.
        data: The run's data set, which is asked what the images are; a table tells nothing of other images.
        strata: Those that can be predicted.
        stratum: Of images of which the data set does not know it; not needed where there is one.

    Raises:
        DataError: A file is not there or cannot be read, or a folder holds no image.
        UsageError: A file is no picture that is read, or the stratum of an image is not known or cannot be predicted.
    """
    roots = list(paths)
    files = list({path.absolute(): path for root in roots for path in _files_of(root)}.values())
    known = {} if data.table is not None else _described(roots, data)
    table = pd.DataFrame(
        {
            "image": list(map(str, files)),
            "path": [str(file.absolute()) for file in files],
            "sha256": sha256_of_files(files),
            "group": [_group(file, known) for file in files],
            "known": [file.absolute() in known for file in files],
            "stratum": _strata_of(files, known, strata, stratum),
        }
    )
    return NewImages(table, [note for root in roots if root.is_dir() and (note := unread_note(root))])


def assign_cells(
    images: NewImages, cells: Iterable[DoneRecord], manifest: pd.DataFrame, splits: pd.DataFrame
) -> list[CellRows]:
    """Say which cell classifies which images: a new one all of its stratum, one of the run those that tested it.

    Args:
        images: What to classify.
        cells: Finished cells of one model.
        manifest: Of the run.
        splits: Its sides.

    Returns:
        The cells that have something to do.

    Raises:
        UsageError: An image is the run's, and none of these cells has tested it.
    """
    known_as = dict(zip(manifest["sha256"], manifest["name"], strict=True))
    stems = images.table["image"].map(lambda image: Path(image).stem)
    table = images.table.assign(name=images.table["sha256"].map(known_as).fillna(stems))
    new, tested = ~table["sha256"].isin(manifest["sha256"]), _tested(table["sha256"], manifest, splits)
    assigned = []
    for record in cells:
        may_be_asked = new | table["sha256"].isin(tested.get((record.seed, record.fold), set()))
        assigned.append(
            CellRows(record, _as_tested(table[(table["stratum"] == record.stratum) & may_be_asked], record))
        )
    _refuse_untested(table, assigned)
    return [one for one in assigned if len(one.images)]


def known_patients_note(images: NewImages, manifest: pd.DataFrame, data_set: DataSetDescription) -> str | None:
    """Say how many images are none of the run's, but of groups that its cells have seen; None where none is."""
    table, used = images.table, used_images(manifest)
    seen = table[table["known"] & ~table["sha256"].isin(manifest["sha256"]) & table["group"].isin(used["group"])]
    if seen.empty:
        return None
    return (
        f"{len(seen)} images are of {plural(data_set.group)} that the run has images of "
        f"({_few(seen['group'].unique())}): its cells were trained on those patients, and what they say of them "
        "measures nothing"
    )


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return _files_in(path)
    if not path.exists():
        raise DataError(f"no such image: {path}")
    if not path.is_file():
        raise DataError(f"{path} is no file but a pipe, a socket or a device")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UsageError(f"{path} has not the ending of an image that is read: {', '.join(sorted(IMAGE_SUFFIXES))}")
    return [path]


def _files_in(folder: Path) -> list[Path]:
    found = list(image_files(folder))
    if not found:
        raise DataError(f"no images in {folder}: only PNG and JPEG files are read")
    return found


def _described(roots: Iterable[Path], data: DataSettings) -> dict[Path, Described]:
    """Have a data set say what images are, by their absolute paths."""
    below: dict[Path, list[str]] = {}
    for root in roots:
        folder = root.absolute() if root.is_dir() else root.absolute().parent
        below.setdefault(folder, []).extend(path.absolute().relative_to(folder).as_posix() for path in _files_of(root))
    known: dict[Path, Described] = {}
    for folder, files in below.items():
        found = ask_images(asked_data_set(data), folder, dict.fromkeys(files, ""), generated=True)
        known |= {folder / record.file: record for record in found.records}
    return known


def _group(file: Path, known: Mapping[Path, Described]) -> str:
    record = known.get(file.absolute())
    return record.groups[0] if record and record.groups else file.absolute().parent.name


def _strata_of(
    files: Sequence[Path], known: Mapping[Path, Described], strata: Sequence[str], stratum: str | None
) -> list[str]:
    if stratum is not None and stratum not in strata:
        near = did_you_mean(stratum, strata)
        raise UsageError(f"no finished cell of it at {stratum}{near} (there are cells at {', '.join(strata)})")
    otherwise = strata[0] if stratum is None and len(strata) == 1 else stratum
    return [_stratum_of(file, known.get(file.absolute()), strata, otherwise) for file in files]


def _stratum_of(file: Path, record: Described | None, strata: Sequence[str], otherwise: str | None) -> str:
    found = record.stratum if record and record.stratum else otherwise
    if found is None:
        raise UsageError(f"of {file} nobody knows the stratum - say it with --stratum: {', '.join(strata)}")
    if found not in strata:
        raise UsageError(f"{file} is of {found}, and there are cells at {', '.join(strata)} only - leave it out")
    return found


def _tested(digests: pd.Series[str], manifest: pd.DataFrame, splits: pd.DataFrame) -> dict[tuple[int, int], set[str]]:
    """Return sha256 of what stands on the test side and on no other, by (seed, fold)."""
    named = used_images(manifest)[["name", "sha256"]]
    named = named[named["sha256"].isin(digests)].rename(columns={"name": "image"})
    sides = splits.merge(named, on="image")
    only = (sides["side"] == TEST).groupby([sides["seed"], sides["fold"], sides["sha256"]]).all()
    found: dict[tuple[int, int], set[str]] = {}
    for seed, fold, digest in only[only].index:
        found.setdefault((seed, fold), set()).add(digest)
    return found


def _as_tested(images: pd.DataFrame, record: DoneRecord) -> pd.DataFrame:
    """Put images in the order in which the cell tested its own: last bits depend on which stand in a batch."""
    ranks = images["name"].map(lambda name: hash_rank(record.seed, name))
    return images.loc[ranks.sort_values(kind="stable").index]


def _refuse_untested(table: pd.DataFrame, assigned: Iterable[CellRows]) -> None:
    asked = {row for one in assigned for row in one.images.index}
    rest = table.loc[[row for row in table.index if row not in asked], "image"]
    if len(rest):
        raise UsageError(
            f"{len(rest)} of the images are in the run's manifest, and none of its cells asked here has tested them: "
            f"{_few(rest)} - what a model says of images that it was trained or chosen on says nothing; leave them out"
        )


def _few(names: Iterable[str]) -> str:
    named = list(names)
    return ", ".join(named[:_NAMED]) + (", ..." if len(named) > _NAMED else "")
