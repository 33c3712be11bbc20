import shutil

import pytest
import torch
from places import SHARED
from torchvision.io import encode_jpeg, encode_png

from harness.data.manifest import count_table, scan_folder, used_images
from harness.data.official import official_list
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
    assert (row["name"], row["accession"], row["state"], row["label"]) == (STEM, "14-22549", "used", 0)


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
    assert " ".join(sorted(used_images(scan_folder(tmp_path, policy))["type"])) == used


def test_folders_without_images(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        scan_folder(tmp_path / "missing")
    with pytest.raises(DataError, match="no BreakHis images"):
        scan_folder(tmp_path)


def test_official_counts():
    counts = count_table(official_list())
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
