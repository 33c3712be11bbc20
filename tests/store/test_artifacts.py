"""What save() leaves: plain files are kept, and nothing that is somebody else's is touched."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import CellError
from harness.store.artifacts import SavingFolder, collect


@pytest.fixture
def working(tmp_path: Path) -> Path:
    folder = tmp_path / "cells" / ".cell.abc"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder of the user's, whose only file others may not read."""
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    (folder / "thesis.txt").chmod(0o600)
    return folder


def test_plain_files_and_folders_are_kept_whatever_their_names(working: Path) -> None:
    saved = SavingFolder.make(working / "saved")
    (saved.path / "saved").mkdir()
    (saved.path / "saved" / "saved").write_text("deep")
    (saved.path / "model.txt").write_text("flat")
    (saved.path / "model.txt").chmod(0o000)
    collect(saved, working)
    assert (working / "saved" / "saved").read_text() == "deep"
    assert stat.S_IMODE((working / "model.txt").stat().st_mode) == 0o644
    assert [path.name for path in working.parent.iterdir()] == [working.name]


def link_folder(saved: Path, precious: Path) -> None:
    saved.rmdir()
    saved.symlink_to(precious)


def move_folder_here(saved: Path, precious: Path) -> None:
    saved.rmdir()
    precious.rename(saved)
    shutil.copytree(saved, precious)


def link_inside(saved: Path, precious: Path) -> None:
    (saved / "deep").mkdir()
    (saved / "deep" / "link").symlink_to(precious)


def link_file(saved: Path, precious: Path) -> None:
    (saved / "link.txt").symlink_to(precious / "thesis.txt")


def second_name(saved: Path, precious: Path) -> None:
    (saved / "deep").mkdir()
    os.link(precious / "thesis.txt", saved / "deep" / "linked")


def a_file(saved: Path, _: Path) -> None:
    saved.rmdir()
    saved.write_text("x")


@pytest.mark.parametrize(
    ("misdeed", "reason"),
    [
        (link_folder, "something else in the place"),
        (move_folder_here, "has replaced the folder"),
        (link_inside, "deep/link, which is neither a file nor a folder"),
        (link_file, r"link\.txt, which is neither"),
        (second_name, "another file's second name"),
        (a_file, "something else in the place"),
        (lambda saved, _: saved.rmdir(), "has removed the folder"),
        (lambda saved, _: shutil.rmtree(saved.parent), "has removed the folder"),
        (lambda saved, _: os.mkfifo(saved / "pipe"), "pipe, which is neither"),
        (lambda saved, _: (saved / "cell.json").touch(), r"cell\.json, which is the harness's own"),
        (
            lambda saved, _: Path(os.fsdecode(os.fsencode(saved) + b"/\xff")).touch(),
            r"\\xff, whose name is not in UTF-8",
        ),
    ],
)
def test_what_is_somebody_elses_is_left_alone(
    working: Path, precious: Path, misdeed: Callable[[Path, Path], object], reason: str
) -> None:
    saved = SavingFolder.make(working / "saved")
    misdeed(saved.path, precious)
    with pytest.raises(CellError, match=reason):
        collect(saved, working)
    thesis = precious / "thesis.txt"
    assert thesis.read_text() == "mine"
    assert stat.S_IMODE(thesis.stat().st_mode) == 0o600
    assert not list(working.glob("*.txt"))
