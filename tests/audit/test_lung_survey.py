"""The audit of lung tiles: copies of a tile are near-duplicates that a random split divides."""

import pytest
from audited import division, real

from harness.api.data import audit_folder
from harness.audit.render import render_audit
from harness.errors import DataError
from harness.synthetic.sources import write_synthetic_lung


@pytest.fixture
def lung(tmp_path):
    folder = tmp_path / "lung"
    write_synthetic_lung(folder, tiles=12, copies=3)
    return folder


def test_lung_tiles(lung):
    report = audit_folder(lung)
    assert (report.data_set, report.n_images, report.n_origins) == (None, 108, 36)
    assert len(report.near_duplicates) == 108  # three pairs of each tile's three copies
    assert all(len(pair.origins) == 1 for pair in report.near_duplicates)
    random = division(report, "random images").shared
    assert len(random["tile"]) > 10
    assert len(random["near_duplicate"]) > 10
    assert division(report, "tiles").shared == {"tile": (), "identical": (), "near_duplicate": ()}


def test_few_lung_images_cannot_be_divided_but_are_looked_at(tmp_path):
    write_synthetic_lung(tmp_path / "lung", tiles=2, copies=2)
    report = audit_folder(tmp_path / "lung")
    assert len(report.near_duplicates) == 6
    assert "too few groups" in division(report, "random images").refused
    assert "| random images |" in render_audit(report)


def test_processes_look_at_many_images_in_order(tmp_path):
    write_synthetic_lung(tmp_path / "lung", tiles=44, copies=2, size=32)
    report = audit_folder(tmp_path / "lung")
    assert report.n_images >= 256  # enough for a pool of processes
    assert len(report.near_duplicates) == 132
    assert all(len(pair.origins) == 1 for pair in report.near_duplicates)


def test_copies_between_tiles_are_told(lung):
    groups = lung / "groups.csv"
    lines = groups.read_text().splitlines()
    lines[1] = lines[1].rpartition(",")[0] + ",[bold]other"
    groups.write_text("\n".join(lines))
    report = audit_folder(lung)
    assert sum(len(pair.origins) == 2 for pair in report.near_duplicates) == 2
    assert "Between tiles: \\[bold\\]other and lung_aca-0000: 2." in render_audit(report)


def test_an_image_of_two_tiles_is_refused(lung):
    groups = lung / "groups.csv"
    groups.write_text(groups.read_text() + groups.read_text().splitlines()[1].rpartition(",")[0] + ",other\n")
    with pytest.raises(DataError, match="twice - keep one line"):
        audit_folder(lung)


def test_lung_images_without_groups_are_told_what_is_missing(lung):
    (lung / "groups.csv").unlink()
    with pytest.raises(DataError, match="GeorgeBatch"):
        audit_folder(lung)


@pytest.mark.long
def test_real_lung_tiles():
    report = audit_folder(real("lc25000"))
    assert len(division(report, "random images").shared["tile"]) > 400
    assert division(report, "tiles").shared["tile"] == ()
    between = {pair.origins for pair in report.near_duplicates if len(pair.origins) > 1}
    assert between == {("lung_n-0177", "lung_n-0228")}
