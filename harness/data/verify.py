"""Folder verification against the files of a data set as its authors publish them.

A file is known by two things: its name and its sha256. Where they contradict each other the content decides, and where
neither is official the file is listed as unknown and never guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from harness.data.description import DataSetDescription
from harness.data.manifest import count_images, unread_pictures
from harness.errors import DataError
from harness.processes import map_strange
from harness.text import printable

SCHEMA_VERSION = 3
N_EXAMPLES = 10
"""How many files of a category a report for people names."""


@dataclass(frozen=True)
class Published:
    """The files of a data set as they are published.

    Attributes:
        data_set: What the data set is.
        files: One row a file, indexed by its name without ending: ``sha256 label stratum subtype subgroup``.
    """

    data_set: DataSetDescription
    files: pd.DataFrame


@dataclass(frozen=True)
class VerifyReport:
    """What a folder holds of the official images; files are named by their path below ``folder``.

    Attributes:
        folder: The folder as it was given.
        intact: Files that are byte for byte the official file of their name.
        reencoded: Files with an official name and other bytes that decode as an image.
        damaged: Files with an official name that do not decode, each with the reason.
        renamed: Files that are official by their sha256 under a name that is not theirs, each with the official name.
        notes: What the data set says of the files, such as folders that contradict names.
        unread: Pictures in formats that are not read.
        unknown: Files of which neither the name nor the sha256 is official.
        held: Stems of the official images that are here: intact, re-encoded or renamed.
        missing: Stems of the official images that are not here, not even damaged.
        published: What they were held against.
    """

    folder: str
    intact: tuple[str, ...]
    reencoded: tuple[str, ...]
    damaged: tuple[tuple[str, str], ...]
    renamed: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    unread: tuple[str, ...]
    unknown: tuple[str, ...]
    held: tuple[str, ...]
    missing: tuple[str, ...]
    published: Published

    @property
    def fraction_held(self) -> float:
        """Held official images over all of them, 0 to 1."""
        return len(self.held) / len(self.published.files)

    @property
    def counts(self) -> pd.DataFrame:
        """Table 1 of the images held; see :func:`~harness.data.manifest.count_images`."""
        return count_images(self.published.files.loc[list(self.held)], self.published.data_set)

    @property
    def official_counts(self) -> pd.DataFrame:
        """Table 1 of all official images."""
        return count_images(self.published.files, self.published.data_set)

    def to_json(self) -> dict[str, Any]:
        """Return the whole report in types that JSON knows."""
        return {
            "schema_version": SCHEMA_VERSION,
            "folder": self.folder,
            "n_official": len(self.published.files),
            "n_held": len(self.held),
            "fraction_held": self.fraction_held,
            "intact": list(self.intact),
            "reencoded": list(self.reencoded),
            "damaged": [{"file": file, "reason": reason} for file, reason in self.damaged],
            "renamed": [{"file": file, "official_name": name} for file, name in self.renamed],
            "notes": list(self.notes),
            "unread": list(self.unread),
            "unknown": list(self.unknown),
            "held": list(self.held),
            "missing": list(self.missing),
            "counts": _json_table(self.counts),
            "official_counts": _json_table(self.official_counts),
        }


def verify_files(root: Path, digests: Mapping[str, str], published: Published, notes: Sequence[str]) -> VerifyReport:
    """Compare every image below ``root`` with the official list.

    Args:
        root: A folder in any layout.
        digests: sha256 of every image file in it, by path below it.
        published: What they are held against.
        notes: What the data set says of the files.

    Raises:
        DataError: There is no image file, or one of them ends the process that decodes it.
    """
    if not digests:
        raise DataError(f"no image files in {root} (looked for .png, .jpg and .jpeg) - pass the folder of the images")
    findings = _Findings(root, published)
    altered = findings.sort_by_digest(digests)
    if altered:
        from harness.data.decode import decoding_fault  # noqa: PLC0415 - torch, for files that are not official

        findings.sort_by_decoding(altered, list(map_strange(decoding_fault, altered, str)))
    return findings.report(tuple(notes))


def render_report(report: VerifyReport) -> str:
    """Return the report as plain text that is also Markdown: counts, up to ten examples a category, table 1."""
    problems = (
        ("re-encoded (official name, other bytes, decodes)", report.reencoded),
        ("damaged (does not decode; get these again)", [f"{file}: {reason}" for file, reason in report.damaged]),
        ("renamed (rename them back)", [f"{file} is {name}" for file, name in report.renamed]),
        ("not read (neither PNG nor JPEG)", report.unread),
        ("unknown (neither name nor content is official)", report.unknown),
        ("missing", report.missing),
    )
    notes = [f"{printable(note)}\n" for note in report.notes]
    lines = [
        f"Images in {printable(report.folder)}",
        "",
        *notes,
        f"- intact (byte for byte official): {len(report.intact):,}",
    ]
    for title, items in problems:
        lines.append(f"- {title}: {len(items):,}")
        lines.extend(f"    - {printable(item)}" for item in items[:N_EXAMPLES])
        if len(items) > N_EXAMPLES:
            lines.append(f"    - and {len(items) - N_EXAMPLES:,} more")
    return "\n".join([*lines, "", _side_by_side(report), "", _holding(report)]) + "\n"


@dataclass
class _Findings:
    """The categories while they fill."""

    root: Path
    published: Published
    intact: list[str] = field(default_factory=list)
    reencoded: list[str] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def sort_by_digest(self, digests: Mapping[str, str]) -> list[Path]:
        """Place what the sha256 settles and return the files of official name and unofficial content."""
        names = {sha: str(stem) for stem, sha in self.published.files["sha256"].items()}
        altered = []
        for file, digest in digests.items():
            content, stem = names.get(digest), Path(file).stem
            if content is not None:
                self._place_official(file, content)
            elif stem in self.published.files.index:
                altered.append(self.root / file)
            else:
                self.unknown.append(file)
        return altered

    def sort_by_decoding(self, paths: list[Path], faults: list[str | None]) -> None:
        """Place files of official name by whether they decode."""
        for path, fault in zip(paths, faults, strict=True):
            if fault is None:
                self.reencoded.append(self._below_root(path))
                self.held.add(path.stem)
            else:
                self.damaged.append((self._below_root(path), fault))
                self.broken.add(path.stem)

    def report(self, notes: tuple[str, ...]) -> VerifyReport:
        """Close the lists; each is sorted."""
        found = self.held | self.broken
        return VerifyReport(
            folder=str(self.root),
            intact=tuple(sorted(self.intact)),
            reencoded=tuple(sorted(self.reencoded)),
            damaged=tuple(sorted(self.damaged)),
            renamed=tuple(sorted(self.renamed)),
            notes=notes,
            unread=unread_pictures(self.root),
            unknown=tuple(sorted(self.unknown)),
            held=tuple(sorted(self.held)),
            missing=tuple(sorted(str(stem) for stem in self.published.files.index if stem not in found)),
            published=self.published,
        )

    def _place_official(self, file: str, content: str) -> None:
        self.held.add(content)
        if Path(file).stem == content:
            self.intact.append(file)
        else:
            self.renamed.append((file, f"{content}.png"))

    def _below_root(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _side_by_side(report: VerifyReport) -> str:
    here, official = report.counts, report.official_counts
    columns = [series for name in here.columns for series in (here[name], official[name])]
    headers = ["", *(heading for name in here.columns for heading in (f"{name} here", "official"))]
    rows = [[index, *(f"{column[index]:,}" for column in columns)] for index in here.index]
    alignment = ("left", *("right" for _ in columns))
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True, colalign=alignment)


def _holding(report: VerifyReport) -> str:
    percent = round(100 * report.fraction_held, 1)
    if report.fraction_held < 1:
        percent = min(percent, 99.9)
    return f"You hold {len(report.held):,} of {len(report.published.files):,} official images ({percent:.1f} %)"


def _json_table(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    rows = table.to_dict("index").items()
    return {str(row): {str(column): int(n) for column, n in cells.items()} for row, cells in rows}
