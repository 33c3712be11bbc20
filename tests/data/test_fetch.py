"""Fetching a data set as a whole, and the check of what arrived."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_plugins.breakhis.official import N_OFFICIAL_IMAGES
from shelf import LUNGS, Shelf, assert_arrived, fetch_lungs, tar_gz, zipped
from torchvision.io import encode_png

from harness.api.data import fetch_data_set
from harness.data import fetch as fetching
from harness.data import unpack as unpacking
from harness.data.fetch import render_fetch
from harness.errors import DataError, UsageError
from harness.file_lock import locked

ORIGINALS = Path(__file__).resolve().parents[3] / "shared" / "data" / "breakhis_originals"
STEM = "SOB_B_A-14-22549AB-40-001"


def png() -> bytes:
    return bytes(encode_png(torch.zeros((3, 40, 50), dtype=torch.uint8)).numpy().tobytes())


def test_an_archive_arrives_and_leaves_nothing_else_behind(tmp_path: Path, lungs: Shelf) -> None:
    report = fetch_lungs(tmp_path / "new" / "folder", lungs)
    assert_arrived(tmp_path / "new" / "folder")
    assert report.folder == tmp_path / "new" / "folder" / "lung_colon_image_set"
    assert lungs.asked == [None]


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/a.zip", "/home/a.zip", "http://", "https:///a"])
def test_only_web_addresses_are_read(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="only http:// and https://"):
        fetch_data_set("breakhis", tmp_path / "new", url)
    assert not (tmp_path / "new").exists()


def test_lc25000_needs_an_address(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--url is required.*academictorrents"):
        fetch_data_set("lc25000", tmp_path)


def test_an_unknown_data_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'breakhis'"):
        fetch_data_set("breakhs", tmp_path)  # type: ignore[arg-type]


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
    with locked(tmp_path / ".download" / ".lock"), pytest.raises(UsageError, match="another fetch is at work"):
        fetch_lungs(tmp_path, lungs)


def test_a_folder_that_appeared_meanwhile_is_not_replaced(tmp_path: Path, lungs: Shelf) -> None:
    def occupy(*_: Any) -> None:
        (tmp_path / "lung_colon_image_set").mkdir(exist_ok=True)
        (tmp_path / "lung_colon_image_set" / "mine.txt").write_text("mine")

    with pytest.raises(DataError, match="cannot write below"):
        fetch_data_set("lc25000", tmp_path, lungs.url, occupy)
    assert [path.name for path in (tmp_path / "lung_colon_image_set").iterdir()] == ["mine.txt"]


def test_an_interrupted_unpacking_is_begun_anew_from_the_archive_at_hand(
    tmp_path: Path, lungs: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(unpacking, "_extract", interrupt)
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
        fetch_data_set(dataset, tmp_path, shelf.url)
    assert (tmp_path / "set" / "readme.txt").exists()


@pytest.fixture
def originals() -> dict[str, bytes]:
    if not ORIGINALS.is_dir():
        pytest.skip(f"no real images: {ORIGINALS} is absent")
    return {f"BreaKHis_v1/{path.name}": path.read_bytes() for path in sorted(ORIGINALS.glob("*.png"))[:4]}


def test_a_partial_breakhis_is_reported(tmp_path: Path, shelf: Shelf, originals: dict[str, bytes]) -> None:
    shelf.content = tar_gz({**originals, "BreaKHis_v1/README.txt": b"see the paper"})
    report = fetch_data_set("breakhis", tmp_path, shelf.url)
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
        fetch_data_set("breakhis", tmp_path, shelf.url)
    assert len(list((tmp_path / "BreaKHis_v1").iterdir())) == 4
    assert (tmp_path / ".download" / "LC.tar.gz").exists()


def test_another_set_than_breakhis_is_an_error(tmp_path: Path, shelf: Shelf) -> None:
    shelf.content = tar_gz({"set/holiday.png": png()})
    with pytest.raises(DataError, match=r"no official image of breakhis in .*holiday\.png"):
        fetch_data_set("breakhis", tmp_path, shelf.url)
    shutil.rmtree(tmp_path / "set")
    shutil.rmtree(tmp_path / ".download")
    shelf.content = tar_gz({f"set/{STEM}.png": png()})
    with pytest.raises(DataError, match=rf"1 re-encoded \({STEM}\.png\)"):
        fetch_data_set("breakhis", tmp_path, shelf.url)
