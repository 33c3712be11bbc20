import filecmp
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from breakhis import official_table, scan_folder, write_synthetic_breakhis
from harness_plugins.breakhis.generated import invented_plan, official_plan
from harness_plugins.breakhis.names import TWICE_PUBLISHED_SLIDE, parse_stem
from skimage.color import rgb2hed

from harness.data.decode import decode_full_size
from harness.errors import UsageError
from harness.synthetic.settings import SyntheticSettings
from harness.synthetic.slides import write_slide

SMALL = SyntheticSettings(accessions=12, images=1, size=32)


def files(folder):
    return {path.relative_to(folder): path for path in folder.rglob("*.png")}


def test_the_seed_decides_every_byte(tmp_path):
    write_synthetic_breakhis(tmp_path / "a", SMALL)
    write_synthetic_breakhis(tmp_path / "b", SMALL)
    write_synthetic_breakhis(tmp_path / "c", SMALL.model_copy(update={"seed": 1}))
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert all(filecmp.cmp(a[name], b[name], shallow=False) for name in a)
    assert not any(filecmp.cmp(path, c[name], shallow=False) for name, path in a.items() if name in c)


def test_neither_the_order_nor_the_process_decides_a_byte(tmp_path):
    progress = []
    total = write_synthetic_breakhis(tmp_path / "at once", SMALL, lambda *step: progress.append(step))
    assert progress == [(done, total) for done in range(1, total + 1)]
    at_once = files(tmp_path / "at once")
    for path in at_once:
        (tmp_path / "one by one" / path.parent).mkdir(parents=True, exist_ok=True)
    # A pool of processes gets its work pickled; starting one would take longer than all other tests here together.
    job = partial(write_slide, tmp_path / "one by one", SMALL.size, SMALL.seed)
    write, plan = pickle.loads(pickle.dumps((job, invented_plan(SMALL.accessions, SMALL.images))))
    for picture in reversed(plan):
        write(picture)
    one_by_one = files(tmp_path / "one by one")
    assert at_once.keys() == one_by_one.keys()
    assert all(filecmp.cmp(path, one_by_one[name], shallow=False) for name, path in at_once.items())


def test_every_name_is_official_in_form(phantom):
    manifest = scan_folder(phantom)
    assert (manifest["state"] == "used").all()
    assert manifest.groupby("label")["group"].nunique().min() >= 5
    assert manifest["subgroup"].nunique() > manifest["group"].nunique()


def test_malignant_images_have_more_haematoxylin(phantom):
    manifest = scan_folder(phantom)
    amount = [rgb2hed(decode_full_size(phantom / f).numpy(), channel_axis=0)[0].mean() for f in manifest["file"]]
    assert np.mean([a for a, label in zip(amount, manifest["label"], strict=True) if label]) > np.mean(
        [a for a, label in zip(amount, manifest["label"], strict=True) if not label]
    )


def name_of(slide):
    return parse_stem(Path(slide.file).stem)


def test_the_official_plan_has_every_official_name_once():
    plan = official_plan()
    assert sorted(Path(slide.file).stem for slide in plan) == sorted(official_table().index)
    copies = [
        (name_of(slide), parse_stem(slide.painted_as)) for slide in plan if name_of(slide).stem != slide.painted_as
    ]
    assert len({painted_as for _, painted_as in copies}) == len(copies) == 123
    assert {(name.tumour_type, painted_as.tumour_type) for name, painted_as in copies} == {("LC", "DC")}
    assert all(name.slide == painted_as.slide == TWICE_PUBLISHED_SLIDE for name, painted_as in copies)
    assert all(name.magnification == painted_as.magnification for name, painted_as in copies)


def test_the_slide_published_twice_shows_each_picture_twice(tmp_path):
    for slide in official_plan():
        if name_of(slide).slide == TWICE_PUBLISHED_SLIDE:
            (tmp_path / slide.file).parent.mkdir(parents=True, exist_ok=True)
            write_slide(tmp_path, 16, 0, slide)
    manifest = scan_folder(tmp_path, "keep")
    assert (manifest.groupby("sha256")["subtype"].agg(sorted).map(tuple) == ("DC", "LC")).all()
    assert len(manifest) == 246


def test_an_interruption_leaves_nothing_behind(tmp_path):
    def interrupt(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic_breakhis(tmp_path / "images", SMALL, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_folder_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError):
        write_synthetic_breakhis(tmp_path / "mine", SMALL)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
