"""Folders against names, and pictures that nobody reads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness_plugins.breakhis.layout import misplaced_files

from harness.data.manifest import unread_note, unread_pictures

FILE = "SOB_M_DC-14-2523-40-001.png"
SLIDE = "malignant/SOB/ductal_carcinoma/SOB_M_DC_14-2523/40X"


@pytest.mark.parametrize(
    "folder", ["", "anything", SLIDE, SLIDE.upper(), "breast/malignant", "fold1/test/40X", "40x", "B"]
)
def test_folders_that_contradict_nothing(folder: str) -> None:
    assert misplaced_files([f"{folder}/{FILE}"]) == ()


@pytest.mark.parametrize(
    "folder",
    [
        "benign",
        "Benign",
        "train/benign",
        "400X",
        "fibroadenoma",
        "malignant/SOB/lobular_carcinoma",
        "SOB_M_DC_14-9999",
        "SOB_B_F_14-2523",
        "malignant/100x",
    ],
)
def test_folders_that_contradict_the_name(folder: str) -> None:
    assert misplaced_files([f"{folder}/{FILE}", f"{folder}/other.png"]) == (f"{folder}/{FILE}",)


def test_pictures_in_other_formats(tmp_path: Path) -> None:
    for name in ("a.png", "b.TIF", "deep/c.bmp", "deep/d.txt", ".hidden/e.tif", "f.webp", ".g.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert unread_pictures(tmp_path) == ("b.TIF", "f.webp", "deep/c.bmp")
    assert unread_note(tmp_path) == (
        "3 pictures are not read, since they are neither PNG nor JPEG: b.TIF, f.webp, deep/c.bmp"
    )


@pytest.fixture
def untidy(phantom: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(phantom, tmp_path / "untidy")
    picture = next(folder.rglob("SOB_M_*.png"))
    (folder / "benign").mkdir()
    picture.rename(folder / "benign" / picture.name)
    (folder / "slide.tif").write_bytes(b"II*")
    return folder


@pytest.mark.usefixtures("without_shortcuts")
@pytest.mark.parametrize("command", ["run", "splits", "verify", "audit"])
def test_every_command_that_looks_at_a_folder_says_so(
    harness, untidy: Path, tiny: Path, tmp_path: Path, command: str
) -> None:
    arguments = {
        "run": ("run", tiny, "--data", untidy, "--models", "majority", "--out", tmp_path / "run"),
        "splits": ("splits", tiny, "--data", untidy),
        "verify": ("data", "verify", untidy),
        "audit": ("data", "audit", untidy),
    }[command]
    _, out, err = harness(*arguments)
    assert "slide.tif" in out + err
    if command != "verify":  # generated pictures have no official names
        assert "benign/SOB_M_" in out + err
