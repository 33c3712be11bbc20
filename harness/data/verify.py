"""Folder verification against the official list of BreakHis.

A file is known by two things: its name and its sha256. Where they contradict each other the content decides, and where
neither is official the file is listed as unknown and never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from harness.data.layout import misplaced_files, unread_pictures
from harness.data.manifest import count_table, image_files, sha256_of_files
from harness.data.official import N_OFFICIAL_IMAGES, official_list
from harness.errors import DataError
from harness.processes import map_strange
from harness.text import printable

SCHEMA_VERSION = 2
N_EXAMPLES = 10
"""How many files of a category a report for people names."""

_BATCH = 64


@dataclass(frozen=True)
class VerifyReport:
    """What a folder holds of the official images; files are named by their path below ``folder``.

    Attributes:
        folder: The folder as it was given.
        intact: Files that are byte for byte the official file of their name.
        reencoded: Files with an official name and other bytes that decode as an image.
        damaged: Files with an official name that do not decode, each with the reason.
        renamed: Files that are official by their sha256 under a name that is not theirs, each with the official name.
        misplaced: Files with an official name whose folders say another class, type, slide or magnification.
        unread: Pictures in formats that are not read.
        unknown: Files of which neither the name nor the sha256 is official.
        held: Stems of the official images that are here: intact, re-encoded or renamed.
        missing: Stems of the official images that are not here, not even damaged.
    """

    folder: str
    intact: tuple[str, ...]
    reencoded: tuple[str, ...]
    damaged: tuple[tuple[str, str], ...]
    renamed: tuple[tuple[str, str], ...]
    misplaced: tuple[str, ...]
    unread: tuple[str, ...]
    unknown: tuple[str, ...]
    held: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def fraction_held(self) -> float:
        """Held official images over all of them, 0 to 1."""
        return len(self.held) / N_OFFICIAL_IMAGES

    @property
    def counts(self) -> pd.DataFrame:
        """Table 1 of the images held; see ``harness.data.manifest.count_table``."""
        return count_table(official_list().loc[list(self.held)])

    @property
    def official_counts(self) -> pd.DataFrame:
        """Table 1 of all official images."""
        return count_table(official_list())

    def to_json(self) -> dict[str, Any]:
        """Return the whole report in types that JSON knows."""
        return {
            "schema_version": SCHEMA_VERSION,
            "folder": self.folder,
            "n_official": N_OFFICIAL_IMAGES,
            "n_held": len(self.held),
            "fraction_held": self.fraction_held,
            "intact": list(self.intact),
            "reencoded": list(self.reencoded),
            "damaged": [{"file": file, "reason": reason} for file, reason in self.damaged],
            "renamed": [{"file": file, "official_name": name} for file, name in self.renamed],
            "misplaced": list(self.misplaced),
            "unread": list(self.unread),
            "unknown": list(self.unknown),
            "held": list(self.held),
            "missing": list(self.missing),
            "counts": _json_table(self.counts),
            "official_counts": _json_table(self.official_counts),
        }


def verify_folder(root: Path, on_progress: Callable[[int, int], None] | None = None) -> VerifyReport:
    """Compare every image below ``root`` with the official list.

    Args:
        root: A folder in any layout; hidden folders are passed over.
        on_progress: Called with the number of files that are done and the number of all files.

    Raises:
        DataError: ``root`` is no folder, holds no image file, or holds one that cannot be read.
    """
    if not root.is_dir():
        raise DataError(f"no such folder: {root} - pass the folder that holds BreaKHis_v1, or the images themselves")
    paths = list(image_files(root))
    if not paths:
        raise DataError(f"no image files in {root} (looked for .png, .jpg and .jpeg) - pass the folder of the images")
    report = on_progress or (lambda _done, _total: None)
    findings = _Findings(root, {sha: str(stem) for stem, sha in official_list()["sha256"].items()})
    altered: list[Path] = []
    for start in range(0, len(paths), _BATCH):
        altered += findings.sort_by_digest(paths[start : start + _BATCH])
        report(min(start + _BATCH, len(paths)), len(paths))
    if altered:
        from harness.data.decode import decoding_fault  # noqa: PLC0415 - torch, for files that are not official

        findings.sort_by_decoding(altered, list(map_strange(decoding_fault, altered, str)))
    return findings.report()


def render_report(report: VerifyReport) -> str:
    """Return the report as plain text that is also Markdown: counts, up to ten examples a category, table 1."""
    problems = (
        ("re-encoded (official name, other bytes, decodes)", report.reencoded),
        ("damaged (does not decode; get these again)", [f"{file}: {reason}" for file, reason in report.damaged]),
        ("renamed (rename them back)", [f"{file} is {name}" for file, name in report.renamed]),
        ("misplaced (their folders contradict their names, which count)", report.misplaced),
        ("not read (neither PNG nor JPEG)", report.unread),
        ("unknown (neither name nor content is official)", report.unknown),
        ("missing", report.missing),
    )
    lines = [f"Images in {printable(report.folder)}", "", f"- intact (byte for byte official): {len(report.intact):,}"]
    for title, items in problems:
        lines.append(f"- {title}: {len(items):,}")
        lines.extend(f"    - {printable(item)}" for item in items[:N_EXAMPLES])
        if len(items) > N_EXAMPLES:
            lines.append(f"    - and {len(items) - N_EXAMPLES:,} more")
    return "\n".join([*lines, "", _side_by_side(report), "", _holding(report)]) + "\n"


@dataclass
class _Findings:
    """The categories while they fill; ``stem_of_digest`` maps the official sha256 to its stem."""

    root: Path
    stem_of_digest: dict[str, str]
    intact: list[str] = field(default_factory=list)
    reencoded: list[str] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def sort_by_digest(self, paths: list[Path]) -> list[Path]:
        """Place what the sha256 settles and return the files of official name and unofficial content."""
        altered = []
        for path, digest in zip(paths, sha256_of_files(paths), strict=True):
            content = self.stem_of_digest.get(digest)
            if content is not None:
                self._place_official(path, content)
            elif path.stem in official_list().index:
                altered.append(path)
            else:
                self.unknown.append(self._below_root(path))
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

    def report(self) -> VerifyReport:
        """Close the lists; each is sorted."""
        found = self.held | self.broken
        return VerifyReport(
            folder=str(self.root),
            intact=tuple(sorted(self.intact)),
            reencoded=tuple(sorted(self.reencoded)),
            damaged=tuple(sorted(self.damaged)),
            renamed=tuple(sorted(self.renamed)),
            misplaced=misplaced_files([*sorted(self.intact), *sorted(self.reencoded)]),
            unread=unread_pictures(self.root),
            unknown=tuple(sorted(self.unknown)),
            held=tuple(sorted(self.held)),
            missing=tuple(sorted(str(stem) for stem in official_list().index if stem not in found)),
        )

    def _place_official(self, path: Path, content: str) -> None:
        self.held.add(content)
        if path.stem == content:
            self.intact.append(self._below_root(path))
        else:
            self.renamed.append((self._below_root(path), f"{content}.png"))

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
    return f"You hold {len(report.held):,} of {N_OFFICIAL_IMAGES:,} official images ({percent:.1f} %)"


def _json_table(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    rows = table.to_dict("index").items()
    return {str(row): {str(column): int(n) for column, n in cells.items()} for row, cells in rows}
