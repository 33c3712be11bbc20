"""Downloading, unpacking and checking a data set, against a server on this machine."""

from __future__ import annotations

import io
import json
import random
import shutil
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from torchvision.io import encode_png

from harness.data import fetch as fetching
from harness.data.fetch import FetchReport, fetch, render_fetch, unpack
from harness.data.official import N_OFFICIAL_IMAGES
from harness.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")

ORIGINALS = Path(__file__).resolve().parents[3] / "shared" / "data" / "breakhis_originals"
STEM = "SOB_B_A-14-22549AB-40-001"


@dataclass
class Shelf:
    """What the server offers, how it misbehaves, and what it was asked.

    ``cuts`` holds, request by request, how many bytes of the body are sent before the connection drops.
    """

    content: bytes = b""
    etag: str = '"first"'
    ranges: bool = True
    heeds_if_range: bool = True
    says_length: bool = True
    redirect: str = ""
    status: int = 0
    cuts: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    shelf: Shelf

    def log_message(self, *_: Any) -> None:
        """Keep the test output clean."""

    def do_GET(self) -> None:
        shelf, wanted = self.shelf, self.headers.get("Range")
        shelf.asked.append(wanted)
        if shelf.redirect or shelf.status:
            self.send_response(shelf.status or 302)
            self.send_header("Location", shelf.redirect)
            self.end_headers()
            return
        fresh = self.headers.get("If-Range") == shelf.etag or not shelf.heeds_if_range
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and shelf.ranges and fresh else 0
        if start >= len(shelf.content) > 0:
            self.send_response(416)
            self.end_headers()
            return
        self.send_body(start)

    def send_body(self, start: int) -> None:
        shelf, size = self.shelf, len(self.shelf.content)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if shelf.etag:
            self.send_header("ETag", shelf.etag)
        if shelf.says_length:
            self.send_header("Content-Length", str(size - start))
        self.end_headers()
        self.wfile.write(shelf.content[start:][: shelf.cuts.pop(0) if shelf.cuts else None])


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.setattr(fetching, "RETRY_PAUSE_SECONDS", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    shelf = Shelf()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("ShelfHandler", (Handler,), {"shelf": shelf}))
    shelf.url = f"http://127.0.0.1:{server.server_port}/some/LC.tar.gz?signature=1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield shelf
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """LC25000 as if it held two lung images."""
    counts = {"lung_aca": 1, "lung_n": 1}
    monkeypatch.setattr(fetching, "LC25000_COUNTS", counts)
    return counts


def noise(seed: int = 0) -> bytes:
    """Bytes that do not compress, as those of images."""
    return random.Random(seed).randbytes(6000)


def png() -> bytes:
    return bytes(encode_png(torch.zeros((3, 40, 50), dtype=torch.uint8)).numpy().tobytes())


def tar_gz(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry in extra:
            tar.addfile(entry)
    return packed.getvalue()


def zipped(files: dict[str, bytes], mode: int = 0o644 | stat.S_IFREG) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


LUNGS = {
    "lung_colon_image_set/lung_image_sets/lung_aca/lungaca1.jpeg": b"a" * 1000,
    "lung_colon_image_set/lung_image_sets/lung_n/lungn1.jpeg": b"n" * 1000,
}


@pytest.fixture
def lungs(shelf: Shelf, few: dict[str, int]) -> Shelf:
    """A shelf with a complete archive."""
    assert len(few) == len(LUNGS)
    shelf.content = tar_gz({**LUNGS, "lung_colon_image_set/noise.bin": noise()})
    return shelf


def fetch_lungs(folder: Path, shelf: Shelf) -> FetchReport:
    return fetch("lc25000", folder, shelf.url)


def part_of(folder: Path) -> Path:
    return folder / ".download" / "LC.tar.gz.part"


def assert_arrived(folder: Path) -> None:
    assert {p.name for p in folder.rglob("*.jpeg")} == {"lungaca1.jpeg", "lungn1.jpeg"}
    assert [p.name for p in folder.iterdir()] == ["lung_colon_image_set"]


# The way to the archive


def test_an_archive_arrives_and_leaves_nothing_else_behind(tmp_path: Path, lungs: Shelf) -> None:
    report = fetch_lungs(tmp_path / "new" / "folder", lungs)
    assert_arrived(tmp_path / "new" / "folder")
    assert report.folder == tmp_path / "new" / "folder" / "lung_colon_image_set"
    assert lungs.asked == [None]


def test_progress_ends_at_the_size_of_the_archive(tmp_path: Path, lungs: Shelf) -> None:
    calls: list[tuple[int, int | None]] = []
    fetch("lc25000", tmp_path, lungs.url, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(lungs.content), len(lungs.content))


def test_a_server_that_does_not_say_the_size_is_believed(tmp_path: Path, lungs: Shelf) -> None:
    lungs.says_length = False
    calls: list[tuple[int, int | None]] = []
    fetch("lc25000", tmp_path, lungs.url, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(lungs.content), None)
    assert_arrived(tmp_path)


def test_a_dropped_connection_is_continued(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts = [1000, 500]
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked == [None, "bytes=1000-", "bytes=1500-"]
    assert_arrived(tmp_path)


def test_a_server_without_ranges_starts_over(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts, lungs.ranges = [1000], False
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked == [None, "bytes=1000-"]
    assert_arrived(tmp_path)


def test_without_an_etag_nothing_is_appended(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts, lungs.etag = [1000], ""
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked == [None, None]
    assert_arrived(tmp_path)


def test_after_three_retries_the_part_stays_and_the_next_call_goes_on(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts = [1000, 100, 100, 100]
    with pytest.raises(DataError, match=r"broke off 4 times.*1,300 of .* bytes arrived; 1,300 bytes are kept"):
        fetch_lungs(tmp_path, lungs)
    assert part_of(tmp_path).read_bytes() == lungs.content[:1300]
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked[-1] == "bytes=1300-"
    assert_arrived(tmp_path)


def test_an_interrupted_call_is_continued(tmp_path: Path, lungs: Shelf) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    lungs.cuts = [1000]
    with pytest.raises(KeyboardInterrupt):
        fetch("lc25000", tmp_path, lungs.url, interrupt)
    assert part_of(tmp_path).stat().st_size == 1000
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked == [None, "bytes=1000-"]
    assert_arrived(tmp_path)


@pytest.mark.parametrize("misbehaviour", [{}, {"heeds_if_range": False}])
def test_a_file_that_changed_on_the_server_is_fetched_anew(
    tmp_path: Path, lungs: Shelf, misbehaviour: dict[str, bool]
) -> None:
    lungs.cuts = [1000, 0, 0, 0]
    with pytest.raises(DataError, match="broke off"):
        fetch_lungs(tmp_path, lungs)
    vars(lungs).update(misbehaviour, etag='"second"')
    lungs.content = tar_gz({**LUNGS, "lung_colon_image_set/noise.bin": noise(seed=1)})
    fetch_lungs(tmp_path, lungs)
    assert_arrived(tmp_path)


def test_a_part_of_another_address_is_not_continued(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts = [1000, 0, 0, 0]
    with pytest.raises(DataError, match="broke off"):
        fetch_lungs(tmp_path, lungs)
    fetch("lc25000", tmp_path, lungs.url.replace("some", "other"))
    assert lungs.asked[-1] is None
    assert_arrived(tmp_path)


def test_an_archive_of_another_address_is_not_taken_for_this_one(tmp_path: Path, lungs: Shelf) -> None:
    store = tmp_path / ".download"
    store.mkdir()
    (store / "LC.tar.gz").write_bytes(b"of another fetch, whose unpacking was interrupted")
    (store / "LC.tar.gz.json").write_text(json.dumps({"url": "http://other/LC.tar.gz", "validator": '"first"'}))
    lungs.cuts = [1000, 0, 0, 0]
    with pytest.raises(DataError, match="broke off"):
        fetch_lungs(tmp_path, lungs)
    fetch_lungs(tmp_path, lungs)
    assert_arrived(tmp_path)


def test_a_part_longer_than_the_file_is_dropped(tmp_path: Path, lungs: Shelf) -> None:
    lungs.cuts = [1000, 0, 0, 0]
    with pytest.raises(DataError, match="broke off"):
        fetch_lungs(tmp_path, lungs)
    with part_of(tmp_path).open("ab") as part:
        part.write(bytes(len(lungs.content)))
    fetch_lungs(tmp_path, lungs)
    assert lungs.asked[-1] is None
    assert_arrived(tmp_path)


def test_a_wrong_address_is_not_retried(tmp_path: Path, lungs: Shelf) -> None:
    lungs.status = 404
    with pytest.raises(DataError, match="answered 404 Not Found - check the address"):
        fetch_lungs(tmp_path, lungs)
    assert len(lungs.asked) == 1


def test_a_server_in_trouble_is_asked_again(tmp_path: Path, lungs: Shelf) -> None:
    lungs.status = 503
    with pytest.raises(DataError, match=r"broke off 4 times.*503"):
        fetch_lungs(tmp_path, lungs)
    assert len(lungs.asked) == 4


def test_a_server_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "RETRY_PAUSE_SECONDS", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DataError, match=r"the connection failed.*nothing is here yet"):
        fetch("breakhis", tmp_path, "http://127.0.0.1:1/a.zip")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/a.zip"])
def test_a_redirect_out_of_the_web_is_refused(tmp_path: Path, lungs: Shelf, target: str) -> None:
    lungs.redirect = target
    with pytest.raises(DataError, match=r"not allowed|unknown url type"):
        fetch_lungs(tmp_path, lungs)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/a.zip", "/home/a.zip", "http://", "https:///a"])
def test_only_web_addresses_are_read(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="only http:// and https://"):
        fetch("breakhis", tmp_path / "new", url)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:port/a.zip", "http://127.0.0.1/a b.zip"])
def test_a_garbled_address_is_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="is no valid address"):
        fetch("breakhis", tmp_path, url)


def test_lc25000_needs_an_address(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--url is required.*academictorrents"):
        fetch("lc25000", tmp_path)


def test_an_unknown_data_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'breakhis'"):
        fetch("breakhs", tmp_path)  # type: ignore[arg-type]


def test_an_occupied_folder_is_left_alone(tmp_path: Path, lungs: Shelf) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty, it holds mine\.txt"):
        fetch_lungs(tmp_path, lungs)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert lungs.asked == []


def test_a_file_for_a_folder_is_refused(tmp_path: Path, lungs: Shelf) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        fetch_lungs(tmp_path / "mine.txt", lungs)


def test_two_fetches_do_not_meet(tmp_path: Path, lungs: Shelf) -> None:
    (tmp_path / ".download").mkdir()
    with FileLock(tmp_path / ".download" / ".lock"), pytest.raises(UsageError, match="another fetch is at work"):
        fetch_lungs(tmp_path, lungs)


# Out of the archive


def refuse(tmp_path: Path, content: bytes, why: str) -> None:
    """Unpacking must fail and leave nothing but the archive, inside the target and outside."""
    folder = tmp_path / "target"
    archive = folder / ".download" / "a.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=why):
        unpack(archive, folder)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]


@pytest.mark.parametrize("pack", [tar_gz, zipped])
@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/out.png", "..\\out.png", "C:\\out.png", "C:out"])
def test_names_that_lead_out_are_refused(tmp_path: Path, pack: Any, name: str) -> None:
    refuse(tmp_path, pack({"a/in.png": noise(), name: b"x"}), "is refused: the entry .* leads out of it")


def special(kind: bytes, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo("a/special")
    entry.type, entry.linkname = kind, link
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        special(tarfile.SYMTYPE, "/etc/hostname"),
        special(tarfile.SYMTYPE, "in.png"),
        special(tarfile.LNKTYPE, "a/in.png"),
        special(tarfile.LNKTYPE, "/etc/hostname"),
        special(tarfile.CHRTYPE),
        special(tarfile.FIFOTYPE),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    refuse(tmp_path, tar_gz({"a/in.png": noise()}, entry), "'a/special' is a link or a device")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, zipped({"a": b"/etc/hostname"}, 0o777 | stat.S_IFLNK), "is a link or a device")


@pytest.mark.parametrize("second", ["a/in.png", "./a/in.png", "a//in.png", "a/in.png/deeper"])
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path, second: str) -> None:
    refuse(tmp_path, tar_gz({"a/in.png": noise()}, tarfile.TarInfo(second)), "holds .* twice")


@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_a_bomb_is_refused(tmp_path: Path, pack: Any) -> None:
    refuse(tmp_path, pack({"a/in.png": bytes(20_000_000)}), "more than 200 times its size")


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"a/in.png": bytes(20_000_000)}))
    true_size = (20_000_000).to_bytes(4, "little")
    refuse(tmp_path, bytes(content.replace(true_size, (100).to_bytes(4, "little"))), "cannot be unpacked|is refused")


def test_bytes_are_limited_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_UNPACKED_BYTES", len(noise()) + 10)
    refuse(tmp_path, tar_gz({"a/1.png": noise(), "a/2.png": noise()}), "fills the disk")


def test_entries_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_MEMBERS", 2)
    refuse(tmp_path, tar_gz({f"a/{number}.png": noise() for number in range(3)}), "more than 2 entries")


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>log in first</html>" * 100, b"PK no zip", tar_gz({"a/in.png": noise()})[:-200], b"\x1f\x8b no gzip"],
)
def test_what_is_no_whole_archive_is_told(tmp_path: Path, content: bytes) -> None:
    refuse(tmp_path, content, "cannot be unpacked")


def test_a_damaged_zip_is_told(tmp_path: Path) -> None:
    content = bytearray(zipped({"a/in.png": noise()}))
    content[200] ^= 255
    refuse(tmp_path, bytes(content), "cannot be unpacked")


def plain_tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize("pack", [tar_gz, plain_tar, zipped])
@pytest.mark.parametrize(
    ("files", "top"),
    [
        ({"a/b/1.png": b"1", "a/2.png": b"2"}, "a"),
        ({"1.png": b"1"}, "set"),
        ({"a/1.png": b"1", "b/2.png": b"2"}, "set"),
        ({".download/1.png": b"1"}, "set"),
    ],
)
def test_the_images_appear_in_one_folder(tmp_path: Path, pack: Any, files: dict[str, bytes], top: str) -> None:
    archive = tmp_path / ".download" / "set.v1.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(pack(files))
    assert unpack(archive, tmp_path) == tmp_path / top
    root = tmp_path if top == "a" else tmp_path / top
    assert {name: (root / name).read_bytes() for name in files} == files
    assert sorted(path.name for path in tmp_path.iterdir()) == [".download", top]


def test_a_folder_that_appeared_meanwhile_is_not_replaced(tmp_path: Path, lungs: Shelf) -> None:
    def occupy(*_: Any) -> None:
        (tmp_path / "lung_colon_image_set").mkdir(exist_ok=True)
        (tmp_path / "lung_colon_image_set" / "mine.txt").write_text("mine")

    with pytest.raises(DataError, match="cannot write below"):
        fetch("lc25000", tmp_path, lungs.url, occupy)
    assert [path.name for path in (tmp_path / "lung_colon_image_set").iterdir()] == ["mine.txt"]


def test_an_interrupted_unpacking_is_begun_anew_from_the_archive_at_hand(
    tmp_path: Path, lungs: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "_extract", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch_lungs(tmp_path, lungs)
    (tmp_path / ".download" / ".unpack-killed").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [".download"]
    fetch_lungs(tmp_path, lungs)
    assert len(lungs.asked) == 1
    assert_arrived(tmp_path)


# The check of what arrived


def test_lc25000_tells_what_is_missing(tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LC25000_COUNTS", {"lung_aca": 2, "colon_aca": 1})
    shelf.content = zipped({"set/lung_aca/lungaca2.jpeg": b"a", "set/colon_aca/colonca1.jpeg": b"c"})
    report = fetch_lungs(tmp_path, shelf)
    assert report.found == {"lung_aca": 1, "colon_aca": 1}
    assert report.expected == {"lung_aca": 2, "colon_aca": 1}
    assert report.missing == ("lungaca1.jpeg",)
    assert "- lung_aca: 1 of 2\n" in render_fetch(report)
    assert "- missing: lungaca1.jpeg\n" in render_fetch(report)
    assert json.loads(json.dumps(report.to_json()))["missing"] == ["lungaca1.jpeg"]


@pytest.mark.parametrize("name", ["lungaca2.jpeg", "lungaca01.jpeg", "lungaca1.png", "scan.jpeg"])
def test_a_name_that_lc25000_does_not_have_is_an_error(tmp_path: Path, lungs: Shelf, name: str) -> None:
    lungs.content = tar_gz({**LUNGS, f"lung_colon_image_set/lung_image_sets/lung_aca/{name}": b"x"})
    with pytest.raises(DataError, match=rf"1 files bear no name of LC25000.*{name} - the files are kept in"):
        fetch_lungs(tmp_path, lungs)
    assert len(list(tmp_path.rglob("*.jpeg"))) >= 2


def test_an_image_in_another_class_folder_is_an_error(tmp_path: Path, lungs: Shelf) -> None:
    lungs.content = tar_gz({"set/lung_n/lungaca1.jpeg": b"x", "set/lung_n/lungn1.jpeg": b"y"})
    with pytest.raises(DataError, match=r"in another class's folder: lung_n/lungaca1\.jpeg"):
        fetch_lungs(tmp_path, lungs)


def test_the_whole_of_lc25000_is_expected() -> None:
    assert sum(fetching.LC25000_COUNTS.values()) == 25_000
    assert fetching.LC25000_COUNTS.keys() == fetching.LC25000_PREFIXES.keys()


@pytest.mark.parametrize("dataset", ["breakhis", "lc25000"])
def test_an_archive_without_images_is_an_error(tmp_path: Path, shelf: Shelf, dataset: Any) -> None:
    shelf.content = tar_gz({"set/readme.txt": b"no image"})
    with pytest.raises(DataError, match=r"no image files in .* the files are kept in .* delete both"):
        fetch(dataset, tmp_path, shelf.url)
    assert (tmp_path / "set" / "readme.txt").exists()


@pytest.fixture
def originals() -> dict[str, bytes]:
    if not ORIGINALS.is_dir():
        pytest.skip(f"no real images: {ORIGINALS} is absent")
    return {f"BreaKHis_v1/{path.name}": path.read_bytes() for path in sorted(ORIGINALS.glob("*.png"))[:4]}


def test_a_partial_breakhis_is_reported(tmp_path: Path, shelf: Shelf, originals: dict[str, bytes]) -> None:
    shelf.content = tar_gz({**originals, "BreaKHis_v1/README.txt": b"see the paper"})
    report = fetch("breakhis", tmp_path, shelf.url)
    assert report.verification is not None
    assert len(report.verification.intact) == 4
    assert len(report.missing) == N_OFFICIAL_IMAGES - 4
    assert report.expected == {"benign": 2480, "malignant": 5429}
    assert sum(report.found.values()) == 4
    assert f"breakhis: 4 of 7,909 images, in {tmp_path / 'BreaKHis_v1'}\n" in render_fetch(report)
    assert json.loads(json.dumps(report.to_json()))["verification"]["n_held"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["BreaKHis_v1"]


def test_a_damaged_breakhis_is_an_error_and_kept(tmp_path: Path, shelf: Shelf, originals: dict[str, bytes]) -> None:
    first, second, third, _ = originals
    originals[first] = originals[first][:50_000]
    originals[second] = png()
    originals["BreaKHis_v1/scan.png"] = originals.pop(third)
    shelf.content = tar_gz(originals)
    with pytest.raises(DataError, match=r"1 damaged \(.*cut short.*, 1 re-encoded \(.*, 1 renamed \(scan\.png is SOB_"):
        fetch("breakhis", tmp_path, shelf.url)
    assert len(list((tmp_path / "BreaKHis_v1").iterdir())) == 4
    assert (tmp_path / ".download" / "LC.tar.gz").exists()


def test_another_set_than_breakhis_is_an_error(tmp_path: Path, shelf: Shelf) -> None:
    shelf.content = tar_gz({"set/holiday.png": png()})
    with pytest.raises(DataError, match=r"no official BreakHis image in .*holiday\.png"):
        fetch("breakhis", tmp_path, shelf.url)
    shutil.rmtree(tmp_path / "set")
    shutil.rmtree(tmp_path / ".download")
    shelf.content = tar_gz({f"set/{STEM}.png": png()})
    with pytest.raises(DataError, match=rf"1 re-encoded \({STEM}\.png\)"):
        fetch("breakhis", tmp_path, shelf.url)
