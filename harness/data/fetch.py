"""Download a data set, unpack it without trusting it, and check what arrived.

The download lies in a hidden folder inside the target until it is whole, and the images appear beside it in one step.
So an interruption leaves a download that the next call continues, and never half of the images.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import shutil
import stat
import tarfile
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, Literal

from filelock import FileLock, Timeout

from harness.data.manifest import image_files
from harness.data.names import CLASSES
from harness.data.verify import VerifyReport, verify_folder
from harness.errors import DataError, UsageError, did_you_mean

Dataset = Literal["breakhis", "lc25000"]
Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes of the whole archive, None where the server does not say."""

DEFAULT_URLS: dict[str, str | None] = {
    "breakhis": "http://www.inf.ufpr.br/vri/databases/BreaKHis_v1.tar.gz",
    "lc25000": None,
}
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
RETRIES = 3
RETRY_PAUSE_SECONDS = 2.0
TIMEOUT_SECONDS = 60.0
MAX_UNPACKED_BYTES = 60_000_000_000
MAX_UNPACKED_RATIO = 200
"""How many bytes a byte of the archive may become: images hardly compress, so anything near this is an attack."""
MAX_MEMBERS = 200_000

_CHUNK_BYTES = 1 << 20
_N_EXAMPLES = 5
_CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<total>\d+|\*)")
_UNREADABLE = (
    EOFError,
    RuntimeError,
    ValueError,
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the standard library raises for archives that are cut short, garbled, encrypted or packed in an unknown way."""


@dataclass(frozen=True)
class FetchReport:
    """What a fetch brought.

    Attributes:
        dataset: ``breakhis`` or ``lc25000``.
        url: Where it came from.
        folder: The folder that the images lie in.
        found: Images by class.
        expected: Images by class in the whole data set.
        missing: Names of the data set that the archive did not hold.
        verification: For BreakHis, how the files compare with the official list.
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


def fetch(dataset: Dataset, folder: Path, url: str | None = None, on_progress: Progress | None = None) -> FetchReport:
    """Download, unpack and check a data set; call it again after an interruption and it continues.

    Args:
        dataset: ``breakhis`` or ``lc25000``.
        folder: A new or empty folder; what an earlier, unfinished fetch left there is used.
        url: Address of a .tar.gz, .tgz, .tar or .zip; None takes the official one, where there is one.
        on_progress: Called while the archive arrives.

    Raises:
        UsageError: The address is missing or no http(s) one, ``folder`` is occupied, or another fetch works there.
        DataError: The server does not deliver, the archive is damaged or unsafe, or its images are not what they
            should be. What arrived is kept, and the message says where.
    """
    address = _address(dataset, url)
    _refuse_occupied(folder)
    store = folder / DOWNLOAD_FOLDER
    try:
        store.mkdir(parents=True, exist_ok=True)
        with FileLock(store / ".lock", timeout=0):
            for left_over in store.glob(".unpack-*"):
                shutil.rmtree(left_over)
            download = _Download(address, store / _archive_name(address))
            if not download.is_finished():
                download.finish(on_progress)
            images = unpack(download.archive, folder)
            report = _check(dataset, address, images, download.archive)
    except Timeout:
        raise UsageError(f"another fetch is at work in {folder} - wait for it, or choose another folder") from None
    except OSError as error:
        raise DataError(f"cannot write below {folder}: {error} - free the space or choose another folder") from error
    shutil.rmtree(store, ignore_errors=True)
    return report


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive into ``folder`` in one step.

    Nothing in the archive is believed: names must stay inside, only plain files and folders are accepted, and bytes
    are counted as they come out.

    Returns:
        The archive's one top folder, now in ``folder``; or a folder named after the archive where it has no such one.

    Raises:
        DataError: The archive cannot be read or is refused; ``folder`` is as it was.
        OSError: The folder to create is there already, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=archive.parent) as scratch:
        content = Path(scratch, "content")
        content.mkdir()
        try:
            _extract(archive, content)
        except _UNREADABLE as error:
            advice = "delete it and fetch again; if that repeats, the server sends something else than the archive"
            raise DataError(f"{archive} cannot be unpacked: {error} - {advice}") from error
        tops = list(content.iterdir())
        if len(tops) == 1 and tops[0].is_dir() and not tops[0].name.startswith("."):
            return tops[0].rename(folder / tops[0].name)
        return content.rename(folder / archive.name.split(".")[0])


def render_fetch(report: FetchReport) -> str:
    """Return the report as plain text that is also Markdown."""
    n_found, n_expected = sum(report.found.values()), sum(report.expected.values())
    lines = [f"{report.dataset}: {n_found:,} of {n_expected:,} images, in {report.folder}", ""]
    lines.extend(f"- {name}: {n:,} of {report.expected[name]:,}" for name, n in report.found.items())
    if report.missing:
        lines.append(f"- missing: {_examples(report.missing)}")
    return "\n".join(lines) + "\n"


class _BrokenOffError(Exception):
    """The server did not deliver to the end; another attempt may."""


class _RestartError(_BrokenOffError):
    """What is here of the file is of no use to the server's present one."""


@dataclass(frozen=True)
class _Download:
    """An archive on its way, with its unfinished part and a note of the file that the part belongs to."""

    url: str
    archive: Path

    @property
    def part(self) -> Path:
        return self.archive.with_name(self.archive.name + ".part")

    @property
    def note(self) -> Path:
        return self.archive.with_name(self.archive.name + ".json")

    def is_finished(self) -> bool:
        return self.archive.exists() and self._noted().get("url") == self.url

    def finish(self, on_progress: Progress | None) -> None:
        """Fetch what is missing, in several attempts if need be."""
        self.archive.unlink(missing_ok=True)  # of another address, and the note is about to say otherwise
        reason = ""
        for attempt in range(1 + RETRIES):
            if attempt:
                time.sleep(RETRY_PAUSE_SECONDS)
            try:
                self._fetch_rest(on_progress)
            except _BrokenOffError as error:
                reason = str(error)
                if isinstance(error, _RestartError):
                    self.part.unlink(missing_ok=True)
            else:
                self.part.replace(self.archive)
                return
        kept = f"{self.part.stat().st_size:,} bytes are kept" if self.part.exists() else "nothing is here yet"
        raise DataError(
            f"{self.url} broke off {1 + RETRIES} times, at last because {reason}; {kept} - run the command again"
        )

    def _fetch_rest(self, on_progress: Progress | None) -> None:
        noted = self._noted()
        validator = str(noted.get("validator", "")) if noted.get("url") == self.url else ""
        begun = self.part.stat().st_size if validator and self.part.exists() else 0
        headers = {"Range": f"bytes={begun}-", "If-Range": validator} if begun else {}
        with _open(self.url, headers) as response:
            done, total = _extent(response, begun, validator)
            with self.part.open("ab" if done else "wb") as file:
                if not done:
                    self.note.write_text(json.dumps({"url": self.url, "validator": _validator(response)}), "utf-8")
                for chunk in _chunks(response):
                    file.write(chunk)
                    done += len(chunk)
                    if on_progress is not None:
                        on_progress(done, total)
                file.flush()
                os.fsync(file.fileno())
        if total is not None and done != total:
            raise _BrokenOffError(f"{done:,} of {total:,} bytes arrived")

    def _noted(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.note.read_text("utf-8")))
        except (OSError, ValueError):
            return {}


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    opener = urllib.request.OpenerDirector()
    # Python's default opener also reads ftp, file and data addresses, to which a server could redirect.
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"User-Agent": "breakhis-harness", **headers})  # noqa: S310
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(url, error.code, str(error.reason)) from None
    except (http.client.InvalidURL, ValueError) as error:
        raise UsageError(f"{url} is no valid address: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"the connection failed: {getattr(error, 'reason', error)}") from error
    return response


def _refusal(url: str, code: int, reason: str) -> Exception:
    if code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _RestartError("the file on the server is shorter than what is here")
    if code >= http.client.INTERNAL_SERVER_ERROR or code == http.client.TOO_MANY_REQUESTS:
        return _BrokenOffError(f"the server answered {code} {reason}")
    return DataError(f"{url} answered {code} {reason} - check the address, or pass another one with --url")


def _extent(response: http.client.HTTPResponse, begun: int, validator: str) -> tuple[int, int | None]:
    """Where in the file the body begins, and the file's whole size in bytes."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0, response.length
    span = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    # Some servers ignore If-Range, so that the rest of another file would be appended.
    if span is None or int(span["start"]) != begun or _validator(response) not in {"", validator}:
        raise _RestartError("the file on the server is another one by now")
    return begun, None if span["total"] == "*" else int(span["total"])


def _validator(response: http.client.HTTPResponse) -> str:
    """What identifies the file for If-Range, which knows no weak ETags (RFC 9110, section 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read1(_CHUNK_BYTES):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"the connection was lost: {error}") from error


def _extract(archive: Path, target: Path) -> None:
    allowance = min(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * archive.stat().st_size)
    for number, (name, source) in enumerate(_entries(archive), start=1):
        if number > MAX_MEMBERS:
            raise _refused(archive, f"it holds more than {MAX_MEMBERS:,} entries")
        path = PureWindowsPath(name)  # takes / and \ for separators, so neither gets past on any system
        if path.anchor or ".." in path.parts or "\0" in name:
            raise _refused(archive, f"the entry {name!r} leads out of it")
        try:
            allowance -= _write_entry(source, target.joinpath(*path.parts), allowance)
        except (FileExistsError, NotADirectoryError):
            raise _refused(archive, f"it holds {name!r} twice") from None
        if allowance < 0:
            raise _refused(archive, f"it unpacks to more than {MAX_UNPACKED_RATIO} times its size, or fills the disk")


def _write_entry(source: IO[bytes] | None, path: Path, allowance: int) -> int:
    """Write a file, or create a folder where there is no source; return the bytes, at most a chunk too many."""
    if source is None:
        path.mkdir(parents=True, exist_ok=True)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with source, path.open("xb") as file:
        while written <= allowance and (chunk := source.read(_CHUNK_BYTES)):
            written += file.write(chunk)
    return written


def _entries(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """The archive's entries by name, folders without a stream; its own bytes decide what kind of archive it is."""
    with archive.open("rb") as file:
        magic = file.read(2)
    if magic == b"PK":
        return _zip_entries(archive)
    return _tar_entries(archive, "r:gz" if magic == b"\x1f\x8b" else "r:")


def _tar_entries(archive: Path, mode: Literal["r:", "r:gz"]) -> Iterator[tuple[str, IO[bytes] | None]]:
    with tarfile.open(archive, mode) as tar:
        for member in tar:
            if not (member.isreg() or member.isdir()):
                raise _refused(archive, f"the entry {member.name!r} is a link or a device")
            yield member.name, tar.extractfile(member)


def _zip_entries(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            if stat.S_IFMT(member.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise _refused(archive, f"the entry {member.filename!r} is a link or a device")
            yield member.filename, None if member.is_dir() else packed.open(member)


def _refused(archive: Path, why: str) -> DataError:
    return DataError(f"{archive} is refused: {why} - nothing was unpacked; delete it and fetch from a source you trust")


def _check(dataset: str, url: str, images: Path, archive: Path) -> FetchReport:
    try:
        return (_check_breakhis if dataset == "breakhis" else _check_lc25000)(url, images)
    except DataError as error:
        kept = f"the files are kept in {images} and the archive in {archive}; delete both to fetch again"
        raise DataError(f"{error} - {kept}") from None


def _check_breakhis(url: str, images: Path) -> FetchReport:
    report = verify_folder(images)
    faults = {
        "damaged": [f"{file}: {reason}" for file, reason in report.damaged],
        "re-encoded": report.reencoded,
        "renamed": [f"{file} is {name}" for file, name in report.renamed],
    }
    told = [f"{len(files):,} {kind} ({_examples(files)})" for kind, files in faults.items() if files]
    if told:
        raise DataError(f"files in {images} are not the official ones of their names: {', '.join(told)}")
    if not report.held:
        raise DataError(f"no official BreakHis image in {images}, only others ({_examples(report.unknown)})")
    totals = [report.to_json()[table]["total"] for table in ("counts", "official_counts")]
    found, expected = ({name: total[name] for name in CLASSES} for total in totals)
    return FetchReport("breakhis", url, images, found, expected, report.missing, report)


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
    return FetchReport("lc25000", url, images, counts, dict(LC25000_COUNTS), missing)


def _address(dataset: str, url: str | None) -> str:
    if dataset not in DEFAULT_URLS:
        known = ", ".join(DEFAULT_URLS)
        raise UsageError(f"no data set is called '{dataset}' (known: {known}){did_you_mean(dataset, DEFAULT_URLS)}")
    address = url or DEFAULT_URLS[dataset]
    if address is None:
        raise UsageError(
            f"{dataset} has no lasting public address, so --url is required: the authors' page, "
            "github.com/tampapath/lung_colon_image_set, links LC25000.zip at academictorrents.com; "
            "pass the address of a copy that you may use"
        )
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
