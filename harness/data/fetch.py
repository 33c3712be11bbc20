"""Fetching a data set: download, unpack, check.

The download lies in a hidden folder inside the target until it is whole, and the images appear beside it in one step.
So an interruption leaves a download that the next call continues, and never half of the images.
"""

from __future__ import annotations

import re
import shutil
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.data.download import Progress, download
from harness.data.manifest import image_files
from harness.data.unpack import SCRATCH_PREFIX, unpack
from harness.data.verify import VerifyReport
from harness.errors import DataError, UsageError
from harness.file_lock import locked
from harness.text import printable

LC25000 = "lc25000"
LC25000_PREFIXES = {
    "lung_aca": "lungaca",
    "lung_n": "lungn",
    "lung_scc": "lungscc",
    "colon_aca": "colonca",
    "colon_n": "colonn",
}
"""Class folder to what its files' names begin with; a number from 1 follows."""
LC25000_COUNTS = dict.fromkeys(LC25000_PREFIXES, 5000)

DOWNLOAD_FOLDER = ".download"

_N_EXAMPLES = 5


@dataclass(frozen=True)
class FetchReport:
    """What a fetch brought.

    Attributes:
        dataset: Its name.
        url: Where it came from.
        folder: The folder that the images lie in.
        found: Images by class.
        expected: Images by class in the whole data set.
        missing: Names of the data set that the archive did not hold.
        verification: How the files compare with what the data set publishes; None for LC25000.
    """

    dataset: str
    url: str
    folder: Path
    found: dict[str, int]
    expected: dict[str, int]
    missing: tuple[str, ...]
    verification: VerifyReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the whole report in types that JSON knows."""
        return {
            "schema_version": 1,
            **vars(self),
            "folder": str(self.folder),
            "missing": list(self.missing),
            "verification": self.verification.to_json() if self.verification else None,
        }


@dataclass(frozen=True)
class Fetched:
    """What is to be fetched.

    Attributes:
        dataset: Its name.
        url: Where it is published; None where it has no lasting address.
        verify: Holds a folder of its images against what is published; None for LC25000, whose names tell.
    """

    dataset: str
    url: str | None
    verify: Callable[[Path], VerifyReport] | None


def fetch(wanted: Fetched, folder: Path, url: str | None = None, on_progress: Progress | None = None) -> FetchReport:
    """Download, unpack and check a data set; call it again after an interruption and it continues.

    Args:
        wanted: What to fetch.
        folder: A new or empty folder; what an earlier, unfinished fetch left there is used.
        url: Address of a .tar.gz, .tgz, .tar or .zip; None takes the official one, where there is one.
        on_progress: Called while the archive arrives.

    Raises:
        UsageError: The address is missing or no http(s) one, ``folder`` is occupied, or another fetch works there.
        DataError: The server does not deliver, the archive is damaged or unsafe, or its images are not what they
            should be. What arrived is kept, and the message says where.
    """
    address = _address(wanted, url)
    _refuse_occupied(folder)
    store = folder / DOWNLOAD_FOLDER
    try:
        store.mkdir(parents=True, exist_ok=True)
        with locked(store / ".lock", seconds=0):
            for left_over in store.glob(f"{SCRATCH_PREFIX}*"):
                shutil.rmtree(left_over)
            archive = store / _archive_name(address)
            download(address, archive, on_progress)
            images = unpack(archive, folder)
            report = _check(wanted, address, images, archive)
    except TimeoutError:
        raise UsageError(f"another fetch is at work in {folder} - wait for it, or choose another folder") from None
    except OSError as error:
        raise DataError(f"cannot write below {folder}: {error} - free the space or choose another folder") from error
    shutil.rmtree(store, ignore_errors=True)
    return report


def render_fetch(report: FetchReport) -> str:
    """Return the report as plain text that is also Markdown."""
    n_found, n_expected = sum(report.found.values()), sum(report.expected.values())
    lines = [f"{report.dataset}: {n_found:,} of {n_expected:,} images, in {printable(str(report.folder))}", ""]
    lines.extend(f"- {name}: {n:,} of {report.expected[name]:,}" for name, n in report.found.items())
    if report.missing:
        lines.append(f"- missing: {_examples(report.missing)}")
    return "\n".join(lines) + "\n"


def _check(wanted: Fetched, url: str, images: Path, archive: Path) -> FetchReport:
    try:
        if wanted.verify is None:
            return _check_lc25000(url, images)
        return _check_published(wanted.dataset, url, images, wanted.verify(images))
    except DataError as error:
        kept = f"the files are kept in {images} and the archive in {archive}; delete both to fetch again"
        raise DataError(f"{error} - {kept}") from None


def _check_published(dataset: str, url: str, images: Path, report: VerifyReport) -> FetchReport:
    faults = {
        "damaged": [f"{file}: {reason}" for file, reason in report.damaged],
        "re-encoded": report.reencoded,
        "renamed": [f"{file} is {name}" for file, name in report.renamed],
    }
    message = [f"{len(files):,} {kind} ({_examples(files)})" for kind, files in faults.items() if files]
    if message:
        raise DataError(f"files in {images} are not the official ones of their names: {', '.join(message)}")
    if not report.held:
        raise DataError(f"no official image of {dataset} in {images}, only others ({_examples(report.unknown)})")
    totals = [report.to_json()[table]["total"] for table in ("counts", "official_counts")]
    found, expected = ({name: total[name] for name in report.published.data_set.classes} for total in totals)
    return FetchReport(dataset, url, images, found, expected, report.missing, report)


def _check_lc25000(url: str, images: Path) -> FetchReport:
    class_of = {
        f"{LC25000_PREFIXES[name]}{number}.jpeg": name
        for name, count in LC25000_COUNTS.items()
        for number in range(1, count + 1)
    }
    paths = list(image_files(images))
    if not paths:
        raise DataError(f"no image files in {images}")
    wrong = [p for p in paths if class_of.get(p.name) is None or p.parent.name not in {class_of[p.name], images.name}]
    if wrong:
        found = _examples([p.relative_to(images).as_posix() for p in wrong])
        raise DataError(f"{len(wrong):,} files bear no name of LC25000 or lie in another class's folder: {found}")
    held = {path.name for path in paths}
    counts = {name: sum(class_of[file] == name for file in held) for name in LC25000_COUNTS}
    missing = tuple(name for name in class_of if name not in held)
    return FetchReport(LC25000, url, images, counts, dict(LC25000_COUNTS), missing)


def _address(wanted: Fetched, url: str | None) -> str:
    address = url or wanted.url
    if address is None:
        hint = (
            ": the authors' page, github.com/tampapath/lung_colon_image_set, links LC25000.zip at academictorrents.com"
            "; pass the address of a copy that you may use"
            if wanted.dataset == LC25000
            else ""
        )
        raise UsageError(f"{wanted.dataset} has no lasting public address, so --url is required{hint}")
    if not re.match(r"https?://[^/]", address, re.IGNORECASE):
        raise UsageError(f"cannot fetch {address}: only http:// and https:// addresses are read")
    return address


def _archive_name(url: str) -> str:
    name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "archive"


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file - pass a new or empty folder")
    held = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.exists() else []
    if held:
        advice = "pass a new or empty folder, or check what is there with: harness data verify"
        raise UsageError(f"{folder} is not empty, it holds {_examples(held)} - {advice}")


def _examples(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_N_EXAMPLES])
    return f"{shown} and {len(items) - _N_EXAMPLES:,} more" if len(items) > _N_EXAMPLES else shown
