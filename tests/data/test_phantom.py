import filecmp

import numpy as np
import pytest
from skimage.color import rgb2hed

from harness.data.decode import decode_full_size
from harness.data.manifest import scan_folder
from harness.data.phantom import PhantomSettings, write_breakhis_phantom, write_lung_phantom, write_natural_phantom
from harness.data.sources import scan_source
from harness.errors import DataError, UsageError

SMALL = PhantomSettings(accessions=12, images=1, size=32)


def files(folder):
    return {path.relative_to(folder): path for path in folder.rglob("*.png")}


def test_the_seed_decides_every_byte(tmp_path):
    write_breakhis_phantom(tmp_path / "a", SMALL)
    write_breakhis_phantom(tmp_path / "b", SMALL)
    write_breakhis_phantom(tmp_path / "c", SMALL.model_copy(update={"seed": 1}))
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert all(filecmp.cmp(a[name], b[name], shallow=False) for name in a)
    assert not any(filecmp.cmp(path, c[name], shallow=False) for name, path in a.items() if name in c)


def test_every_name_is_official_in_form(phantom):
    manifest = scan_folder(phantom)
    assert (manifest["state"] == "used").all()
    assert manifest.groupby("label")["accession"].nunique().min() >= 5
    assert manifest["slide"].nunique() > manifest["accession"].nunique()


def test_malignant_images_have_more_haematoxylin(phantom):
    manifest = scan_folder(phantom)
    amount = [rgb2hed(decode_full_size(phantom / f).numpy(), channel_axis=0)[0].mean() for f in manifest["file"]]
    assert np.mean([a for a, label in zip(amount, manifest["label"], strict=True) if label]) > np.mean(
        [a for a, label in zip(amount, manifest["label"], strict=True) if not label]
    )


def test_an_occupied_folder_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError):
        write_breakhis_phantom(tmp_path / "mine", SMALL)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_sources_are_divided_by_group(tmp_path):
    write_lung_phantom(tmp_path / "lung", tiles=10, copies=3, size=32)
    manifest = scan_source("lc25000", tmp_path / "lung")
    assert manifest.classes == ("lung_aca", "lung_n", "lung_scc")
    assert len(manifest.images) == 90
    assert (manifest.images.groupby("group")["side"].nunique() == 1).all()
    assert set(manifest.images["side"]) == {"train", "validation"}


def test_lung_without_tile_groups_is_refused(tmp_path):
    write_lung_phantom(tmp_path / "lung", tiles=5, copies=1, size=32)
    (tmp_path / "lung" / "groups.csv").unlink()
    with pytest.raises(DataError, match=r"groups\.csv"):
        scan_source("lc25000", tmp_path / "lung")


def test_natural_folder(tmp_path):
    write_natural_phantom(tmp_path / "natural", classes=3, images=5, size=32)
    manifest = scan_source("image-folder", tmp_path / "natural")
    assert len(manifest.classes) == 3
    assert manifest.images.groupby("label")["side"].value_counts().unstack()["validation"].tolist() == [1, 1, 1]
