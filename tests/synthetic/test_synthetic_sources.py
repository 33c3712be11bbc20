import numpy as np
import pandas as pd
import pytest

from harness.data.decode import decode_full_size
from harness.data.sources import APART, COPIES, scan_source
from harness.errors import DataError, UsageError
from harness.synthetic.sources import write_synthetic_lung, write_synthetic_natural


def test_sources_are_divided_by_group(tmp_path):
    write_synthetic_lung(tmp_path / "lung", tiles=10, copies=3, size=32)
    manifest = scan_source("lc25000", [tmp_path / "lung"])
    assert manifest.classes == ("lung_aca", "lung_n", "lung_scc")
    assert len(manifest.images) == 90
    copies = manifest.images[manifest.images["side"] == COPIES]
    rest = manifest.images[manifest.images["side"] != COPIES]
    assert rest.groupby("group")["side"].nunique().eq(1).all()
    assert set(rest["side"]) == {"train", "validation", APART}
    assert set(copies["group"]) < set(rest.loc[rest["side"] == "train", "group"])
    assert copies.groupby("label")["group"].nunique().eq(1).all()


def test_folders_are_merged_by_class_name(tmp_path):
    write_synthetic_natural(tmp_path / "one", classes=3, images=5, size=32)
    write_synthetic_natural(tmp_path / "two", classes=2, images=4, size=32, seed=1)
    one, two = tmp_path / "one", tmp_path / "two"
    manifest = scan_source("image-folder", [one, two])
    assert manifest.classes == scan_source("image-folder", [one]).classes
    assert len(manifest.images) == 3 * 5 + 2 * 4
    assert set(manifest.sides) == {"train", "validation"}


def symmetries(picture):
    turns = [np.rot90(picture, turn, axes=(1, 2)) for turn in range(4)]
    return turns + [turned[:, :, ::-1] for turned in turns]


def nearest_symmetry(first, second):
    """The mean difference in grey levels to the symmetry of ``second`` that is most like ``first``."""
    return min(np.abs(first - turned).mean() for turned in symmetries(second))


def test_lung_groups_list_every_file_and_copies_are_symmetric(tmp_path):
    write_synthetic_lung(tmp_path, tiles=3, copies=3, size=32)
    groups = pd.read_csv(tmp_path / "groups.csv")
    assert groups.columns.tolist() == ["path", "class", "tile"]
    assert set(groups["path"]) == {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpeg")}
    pictures = [decode_full_size(tmp_path / path).numpy().astype(float) for path in groups["path"]]
    for i, picture in enumerate(pictures):
        for j in range(i):
            same_tile = groups["tile"][i] == groups["tile"][j]
            assert (nearest_symmetry(picture, pictures[j]) < 8) == same_tile
            assert (picture != pictures[j]).any()


def test_lung_without_tile_groups_is_refused(tmp_path):
    write_synthetic_lung(tmp_path / "lung", tiles=5, copies=1, size=32)
    (tmp_path / "lung" / "groups.csv").unlink()
    with pytest.raises(DataError, match=r"groups\.csv"):
        scan_source("lc25000", [tmp_path / "lung"])


def test_natural_folder(tmp_path):
    write_synthetic_natural(tmp_path / "natural", classes=3, images=5, size=32)
    manifest = scan_source("image-folder", [tmp_path / "natural"])
    assert len(manifest.classes) == 3
    assert manifest.images.groupby("label")["side"].value_counts().unstack()["validation"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("wrong", [{"classes": 1}, {"classes": 17}, {"images": 0}, {"size": 8}])
def test_numbers_out_of_range_are_named(tmp_path, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        write_synthetic_natural(tmp_path / "natural", **wrong)
    assert list(tmp_path.iterdir()) == []
