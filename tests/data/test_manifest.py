import os
import shutil
from pathlib import Path

import pytest
import torch
from breakhis import BREAKHIS, official_table, scan_folder
from places import SHARED
from torchvision.io import encode_jpeg, encode_png

from harness.data.manifest import count_images, published_counts, used_images
from harness.errors import DataError

STEM = "SOB_B_A-14-22549AB-40-001"


def png(value=0):
    return encode_png(torch.full((3, 8, 12), value, dtype=torch.uint8)).numpy().tobytes()


@pytest.mark.parametrize(
    "place",
    [
        "BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis/SOB_B_A_14-22549AB/40X",
        "train/benign",
        "40X",
        "",
    ],
)
@pytest.mark.parametrize("ending", [".png", ".jpg", ".PNG"])
def test_folders_do_not_matter(tmp_path, place, ending):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    image = torch.zeros((3, 8, 12), dtype=torch.uint8)
    data = (encode_jpeg(image) if ending == ".jpg" else encode_png(image)).numpy().tobytes()
    (tmp_path / place / f"{STEM}{ending}").write_bytes(data)
    (row,) = scan_folder(tmp_path).to_dict("records")
    assert (row["name"], row["group"], row["state"], row["label"]) == (STEM, "14-22549", "used", 0)


def test_unparsed_names_are_listed(tmp_path):
    (tmp_path / f"{STEM}.png").write_bytes(png())
    (tmp_path / "slide one.png").write_bytes(png())
    assert scan_folder(tmp_path).set_index("name")["state"].to_dict() == {STEM: "used", "slide one": "unparsed"}


def test_the_same_file_twice_counts_once(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{STEM}.png").write_bytes(png())
    assert scan_folder(tmp_path)["state"].tolist() == ["used", "repeated"]


def test_two_images_of_one_name_are_refused(tmp_path):
    for value, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{STEM}.png").write_bytes(png(value))
    with pytest.raises(DataError, match=r"names different images: a/.*, b/"):
        scan_folder(tmp_path)


@pytest.mark.parametrize(("policy", "used"), [("drop-dc", "LC"), ("drop-lc", "DC"), ("keep", "DC LC")])
def test_slide_13412(tmp_path, policy, used):
    for kind in ("DC", "LC"):
        (tmp_path / f"SOB_M_{kind}-14-13412-100-001.png").write_bytes(png())
    assert " ".join(sorted(used_images(scan_folder(tmp_path, policy))["subtype"])) == used


def test_folders_without_images(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        scan_folder(tmp_path / "missing")
    with pytest.raises(DataError, match="no images of breakhis"):
        scan_folder(tmp_path)


def test_official_counts():
    counts = count_images(official_table(), BREAKHIS)
    assert counts.equals(published_counts(BREAKHIS))
    assert counts.loc["total"].tolist() == [2480, 5429, 7909]
    assert counts.loc["cases"].tolist() == [24, 58, 82]
    assert counts["total"].tolist()[:4] == [1995, 2081, 2013, 1820]


@pytest.mark.skipif(not SHARED.is_dir(), reason="real images are not beside the checkout")
def test_real_images():
    manifest = scan_folder(SHARED / "breakhis")
    assert manifest["state"].value_counts().to_dict() == {"used": 1453, "dropped": 24}


def test_unreadable_file_is_named(tmp_path):
    (tmp_path / f"{STEM}.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match="cannot read"):
        scan_folder(tmp_path)
    shutil.rmtree(tmp_path)


def outside(tmp_path):
    """A folder beside the images, with an image in it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / f"{STEM}.png").write_bytes(png())
    (tmp_path / "images").mkdir()
    return tmp_path / "elsewhere", tmp_path / "images"


def test_a_link_out_of_the_folder_is_named_and_not_followed(tmp_path):
    elsewhere, images = outside(tmp_path)
    (images / f"{STEM}.png").symlink_to(elsewhere / f"{STEM}.png")
    with pytest.raises(DataError, match=rf"{STEM}.png is a link to .*elsewhere.*put a copy in its place"):
        scan_folder(images)


def test_a_folder_that_is_a_link_out_is_named_and_not_silently_missing(tmp_path):
    elsewhere, images = outside(tmp_path)
    (images / "more").symlink_to(elsewhere)
    with pytest.raises(DataError, match=r"images/more is a link to .*elsewhere, out of the folder"):
        scan_folder(images)


def test_links_inside_the_folder_and_to_the_folder_serve(tmp_path):
    elsewhere, images = outside(tmp_path)
    (elsewhere / "again").mkdir()
    (elsewhere / "again" / f"{STEM}.png").symlink_to(elsewhere / f"{STEM}.png")
    (elsewhere / "loop").symlink_to(elsewhere)
    images.rmdir()
    images.symlink_to(elsewhere)
    assert scan_folder(images)["state"].tolist() == ["used", "repeated"]


def test_a_link_that_goes_round_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"cannot read .*a\.png"):
        scan_folder(tmp_path)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / f"{STEM}.png")
    with pytest.raises(DataError, match=rf"{STEM}\.png is no file but a pipe"):
        scan_folder(tmp_path)


def test_folders_without_end_are_told(tmp_path):
    (tmp_path / "/".join("a" * 300)).mkdir(parents=True)
    with pytest.raises(DataError, match="nested more than 100 deep"):
        scan_folder(tmp_path)


def test_a_device_is_not_read(tmp_path):
    (tmp_path / f"{STEM}.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is a link to /dev/zero"):
        scan_folder(tmp_path)


def test_a_folder_named_like_an_image(tmp_path):
    (tmp_path / f"{STEM}.png").mkdir()
    with pytest.raises(DataError, match=rf"{STEM}\.png is a folder with the ending of an image"):
        scan_folder(tmp_path)


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_what_may_not_be_read_is_named(tmp_path, monkeypatch, locked):
    """Permissions do not bind every user, so the system's answer is put in its place."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / f"{STEM}.png").write_bytes(png())

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(*((os, "scandir") if locked == "folder" else (Path, "open")), refuse)
    with pytest.raises(DataError, match=r"cannot (read|list the folder) .*: Permission denied"):
        scan_folder(tmp_path)


@pytest.mark.parametrize(
    "name", ["切片 一", "прозрачность", "عينة", "a'b\"c;$(ls)", "\x1b[31mred\x1b[0m", "a\nb", "x\u202egnp"]
)
def test_names_in_other_scripts_and_with_odd_characters_are_left_out_and_told(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.png").write_bytes(png())
    (tmp_path / name / f"{STEM}.png").write_bytes(png())
    assert scan_folder(tmp_path).set_index("name")["state"].to_dict() == {STEM: "used", name: "unparsed"}


def test_a_name_that_is_no_text_is_shown_by_its_bytes(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).write_bytes(png())
    with pytest.raises(DataError, match=r"the name .*caf\\xe9\.png is not in UTF-8 - rename"):
        scan_folder(tmp_path)
