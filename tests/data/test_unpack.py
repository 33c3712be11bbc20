"""Out of the archive, and nothing where it should not be."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from shelf import noise, plain_tar, tar_gz, zipped

from harness.data import unpack as unpacking
from harness.data.unpack import unpack
from harness.errors import DataError


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
    monkeypatch.setattr(unpacking, "MAX_UNPACKED_BYTES", len(noise()) + 10)
    refuse(tmp_path, tar_gz({"a/1.png": noise(), "a/2.png": noise()}), "fills the disk")


def test_entries_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 2)
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
