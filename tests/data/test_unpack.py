"""Out of the archive, and nothing where it should not be."""

from __future__ import annotations

import io
import resource
import stat
import tarfile
import zipfile
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


@pytest.mark.parametrize("pack", [tar_gz, zipped])
@pytest.mark.parametrize("name", ["a/" * 60 + "in.png", "a/" + "n" * 300, "\N{GREEK SMALL LETTER ALPHA}" * 200])
def test_names_that_no_disk_takes_are_refused(tmp_path: Path, pack: Any, name: str) -> None:
    refuse(tmp_path, pack({"a/in.png": noise(), name: b"x"}), "has too long a name or lies too deep")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_header_that_claims_the_memory_is_not_read(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("long")
    header.type, header.size = kind, 1 << 32
    refuse(tmp_path, tar_gz({"a/in.png": noise()}, header), "a header claims [0-9,]+ bytes")


def test_a_sparse_file_counts_with_its_holes(tmp_path: Path) -> None:
    hole = tarfile.TarInfo("a/hole")
    hole.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40), "GNU.sparse.name": "a/hole"}
    refuse(tmp_path, tar_gz({"a/in.png": noise()}, hole), "more than 200 times its size")


def test_an_archive_in_an_archive_stays_a_file(tmp_path: Path) -> None:
    inner = zipped({"../out.png": b"x"})
    archive = tmp_path / ".download" / "set.zip"
    archive.parent.mkdir()
    archive.write_bytes(zipped({"a/inner.zip": inner}))
    assert (unpack(archive, tmp_path) / "inner.zip").read_bytes() == inner


def test_odd_names_arrive_as_they_are(tmp_path: Path) -> None:
    archive = tmp_path / ".download" / "set.tar"
    archive.parent.mkdir()
    names = {"a/切片.png", "a/\x1b[31m.png", "a/with space\n.png"}
    archive.write_bytes(plain_tar(dict.fromkeys(names, b"x")))
    assert {f"a/{path.name}" for path in unpack(archive, tmp_path).iterdir()} == names


def test_an_encrypted_zip_is_told(tmp_path: Path) -> None:
    content = bytearray(zipped({"a/in.png": noise()}))
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + place] |= 1
    refuse(tmp_path, bytes(content), "cannot be unpacked: .*encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_whose_memory_has_no_bound_are_refused_unread(tmp_path: Path, method: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        file.writestr("a/in.png", bytes(300_000_000))
    assert len(packed.getvalue()) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuse(tmp_path, packed.getvalue(), "'a/in.png' is packed otherwise than by deflating")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_folders_are_counted_though_they_have_no_bytes(
    tmp_path: Path, pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAX_FOLDERS", 40)
    deep = {f"a/{number}/{number}/in.png": b"x" for number in range(30)}
    refuse(tmp_path, pack(deep), "it makes more than 40 folders")
