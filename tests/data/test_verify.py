"""The verification of a folder against the official list."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from harness_plugins.breakhis.official import N_OFFICIAL_IMAGES, official_files
from torchvision.io import write_jpeg, write_png

from harness.api.data import verify_folder
from harness.data.decode import decoding_fault
from harness.data.verify import render_report
from harness.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")

STEM = "SOB_B_A-14-22549AB-40-001"
OTHER = "SOB_M_DC-14-2773-40-019"


def shared_data() -> Path:
    """The folder of real images beside the checkout."""
    return Path(__file__).resolve().parents[3] / "shared" / "data"


def real(name: str) -> Path:
    folder = shared_data() / name
    if not folder.is_dir():
        pytest.skip(f"no real images: {folder} is absent")
    return folder


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    return Path(shutil.copytree(real("breakhis_originals"), tmp_path / "originals"))


def picture() -> torch.Tensor:
    return torch.arange(3 * 9 * 11, dtype=torch.uint8).reshape(3, 9, 11)


def png(path: Path) -> Path:
    write_png(picture(), str(path))
    return path


def test_each_file_lands_in_one_category(tmp_path: Path) -> None:
    png(tmp_path / f"{STEM}.png")
    write_jpeg(picture(), str(tmp_path / f"{OTHER}.jpg"))
    (tmp_path / "SOB_B_F-14-14134-40-001.png").write_bytes(b"")
    (tmp_path / "SOB_B_F-14-14134-40-002.png").write_bytes(b"no image at all")
    png(tmp_path / "holiday.png")
    png(tmp_path / f"{STEM} (1).png")
    report = verify_folder(tmp_path)
    assert report.intact == ()
    assert report.renamed == ()
    assert report.reencoded == (f"{STEM}.png", f"{OTHER}.jpg")
    assert [file for file, _ in report.damaged] == ["SOB_B_F-14-14134-40-001.png", "SOB_B_F-14-14134-40-002.png"]
    assert report.damaged[0][1] == "the file is empty"
    assert report.damaged[1][1] == "it is a text file, not a PNG or JPEG"
    assert report.unknown == (f"{STEM} (1).png", "holiday.png")
    assert report.held == (STEM, OTHER)


def test_held_damaged_and_missing_are_all_official_images(tmp_path: Path) -> None:
    png(tmp_path / f"{STEM}.png")
    (tmp_path / f"{OTHER}.png").write_bytes(b"")
    report = verify_folder(tmp_path)
    assert len(report.held) + len(report.damaged) + len(report.missing) == N_OFFICIAL_IMAGES
    assert OTHER not in report.missing
    assert report.fraction_held == 1 / N_OFFICIAL_IMAGES


def test_an_image_in_two_folders_is_held_once(tmp_path: Path) -> None:
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        png(tmp_path / folder / f"{STEM}.png")
    report = verify_folder(tmp_path)
    assert report.reencoded == (f"test/{STEM}.png", f"train/{STEM}.png")
    assert report.held == (STEM,)


def test_only_unknown_images_give_empty_counts(tmp_path: Path) -> None:
    png(tmp_path / "holiday.png")
    report = verify_folder(tmp_path)
    assert int(report.counts.to_numpy().sum()) == 0
    assert "You hold 0 of 7,909 official images (0.0 %)" in render_report(report)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("no image")
    with pytest.raises(DataError, match="no image files in"):
        verify_folder(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        verify_folder(tmp_path / "absent")


def test_progress_ends_at_the_number_of_files(tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number}.png").write_bytes(b"x")
    calls: list[tuple[int, int]] = []
    verify_folder(tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == [(70, 70)]


def test_the_report_is_json(tmp_path: Path) -> None:
    png(tmp_path / f"{STEM}.png")
    (tmp_path / f"{OTHER}.png").write_bytes(b"")
    found = json.loads(json.dumps(verify_folder(tmp_path).to_json()))
    assert found["schema_version"] == 3
    assert found["n_held"] == 1
    assert found["damaged"] == [{"file": f"{OTHER}.png", "reason": "the file is empty"}]
    assert found["counts"]["40x"] == {"benign": 1, "malignant": 0, "total": 1}
    assert found["official_counts"]["cases"] == {"benign": 24, "malignant": 58, "total": 82}


def test_the_rendering_names_ten_and_counts_the_rest(tmp_path: Path) -> None:
    for number in range(13):
        png(tmp_path / f"holiday{number:02}.png")
    text = render_report(verify_folder(tmp_path))
    assert "- unknown (neither name nor content is official): 13\n" in text
    assert "holiday09.png\n    - and 3 more\n" in text
    assert "holiday10.png" not in text


def test_the_rendering_shows_table_1_of_the_folder_beside_the_official_one(tmp_path: Path) -> None:
    png(tmp_path / f"{STEM}.png")
    rows = [[cell.strip() for cell in line.split("|")] for line in render_report(verify_folder(tmp_path)).splitlines()]
    assert ["", "40x", "1", "625", "0", "1,370", "1", "1,995", ""] in rows
    assert ["", "total", "1", "2,480", "0", "5,429", "1", "7,909", ""] in rows


@pytest.mark.parametrize("kept", [0, 5, 30, -4, -60])
def test_a_truncated_png_is_damaged(tmp_path: Path, kept: int) -> None:
    content = png(tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[:kept])
    assert decoding_fault(tmp_path / "whole.png") is None
    assert decoding_fault(tmp_path / "cut.png") is not None


def test_a_truncated_jpeg_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    write_jpeg(picture(), str(path))
    assert decoding_fault(path) is None
    path.write_bytes(path.read_bytes()[:-20])
    assert "cut short" in str(decoding_fault(path))


def test_originals_are_intact(originals: Path) -> None:
    report = verify_folder(originals)
    assert len(report.intact) == 16
    assert len(report.held) == 16
    assert report.reencoded + report.damaged + report.renamed + report.unknown == ()


def test_an_original_is_recognised_under_another_name(originals: Path) -> None:
    source = originals / f"{OTHER}.png"
    shutil.copy(source, originals / "scan.png")
    source.rename(originals / f"{STEM}.png")
    report = verify_folder(originals)
    assert report.renamed == ((f"{STEM}.png", f"{OTHER}.png"), ("scan.png", f"{OTHER}.png"))
    assert OTHER in report.held
    assert STEM in report.missing


def test_a_truncated_original_is_damaged(originals: Path) -> None:
    path = originals / f"{OTHER}.png"
    path.write_bytes(path.read_bytes()[:100_000])
    report = verify_folder(originals)
    assert report.damaged == ((f"{OTHER}.png", "the PNG is cut short after 100,000 bytes"),)
    assert len(report.intact) == 15


def test_the_reencoded_set_is_recognised_as_such() -> None:
    report = verify_folder(real("breakhis"))
    assert len(report.reencoded) == len(report.held) == 1477
    assert report.intact + report.damaged + report.renamed + report.unknown == ()
    assert report.counts["total"].tolist()[:5] == [174, 592, 682, 29, 1477]
    assert set(report.held) <= set(official_files())
    assert "You hold 1,477 of 7,909 official images (18.7 %)" in render_report(report)
