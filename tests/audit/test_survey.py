"""The audit finds what was planted, and nothing else."""

import json
import shutil

import numpy as np
import pytest
import torch
from audited import division, real
from breakhis import PROTOCOLS
from torchvision.io import encode_jpeg, encode_png

from harness.api.data import audit_folder
from harness.audit.render import render_audit
from harness.data.decode import decode_full_size
from harness.data.manifest import image_files
from harness.data.near_duplicates import SYMMETRIES, turn


@pytest.fixture
def slides(phantom, tmp_path):
    """A copy of the generated slides that a test may spoil."""
    return shutil.copytree(phantom, tmp_path / "slides")


def write(path, pixels, encode=encode_png):
    path.write_bytes(encode(torch.from_numpy(np.ascontiguousarray(pixels))).numpy().tobytes())
    return path


def first_of(folder, tumour_type):
    return min((p for p in image_files(folder) if f"_{tumour_type}-" in p.stem), key=lambda path: path.stem)


def renamed(path, **parts):
    """The path of an image of the same name but for its slide."""
    stem = path.stem.split("-")
    return path.with_name("-".join([parts.get("kind", stem[0]), stem[1], parts["slide"], *stem[3:]]) + ".png")


@pytest.fixture(scope="module")
def clean(phantom):
    """The audit of generated slides as they are."""
    return audit_folder(phantom)


def test_generated_slides_are_clean(clean):
    report = clean
    assert report.data_set.name == "breakhis"
    assert (report.n_images, report.n_groups, report.n_origins) == (144, 18, 21)
    assert report.identical + report.near_duplicates + report.low_tissue + report.damaged == ()
    assert report.double_slides + report.unparsed + report.repeated == ()
    assert [(size.height, size.width, size.n_images) for size in report.sizes] == [(32, 49, 144)]
    assert len(report.divided_groups) == 3
    assert report.divided_groups[0].slides == ("A 14-10003A", "A 14-10003B")


def test_every_protocol_is_tried(clean):
    assert [finding.name for finding in clean.divisions] == list(PROTOCOLS)
    assert "official images only" in division(clean, "official5").refused
    assert division(clean, "accession-5fold").shared["group"] == ()
    assert division(clean, "slide-5fold").shared["subgroup"] == ()
    assert len(division(clean, "paper-random").shared["group"]) == 18


def test_a_seed_changes_what_a_random_split_divides(clean, phantom):
    other = audit_folder(phantom, seed=1)
    assert division(clean, "paper-random").shared["subgroup"] != division(other, "paper-random").shared["subgroup"]


def test_a_picture_under_two_slides_is_found(slides):
    original = first_of(slides, "DC")
    copy = write(renamed(original, slide="99999"), decode_full_size(original).numpy())
    copy.write_bytes(copy.read_bytes() + b"other bytes, the same pixels")
    report = audit_folder(slides)
    assert [set(group.images) for group in report.identical] == [{original.stem, copy.stem}]
    assert report.identical[0].origins == (f"DC 14-{original.stem.split('-')[2]}", "DC 14-99999")
    assert report.near_duplicates == ()
    shared = [division(report, name).shared["identical"] for name in ("accession-5fold", "slide-5fold")]
    assert all(len(groups) == 1 and copy.stem in groups[0] for groups in shared)


def test_a_turned_copy_under_another_accession_is_found(slides):
    original = first_of(slides, "DC")
    turned = turn(decode_full_size(original).numpy(), SYMMETRIES[1])
    copy = write(renamed(original, slide="99999").with_suffix(".jpg"), turned, encode_jpeg)
    report = audit_folder(slides)
    assert report.identical == ()
    assert [set(pair.images) for pair in report.near_duplicates] == [{original.stem, copy.stem}]
    assert report.near_duplicates[0].symmetry in {"turned by 90 degrees", "turned by 270 degrees"}
    (pair,) = division(report, "accession-5fold").shared["near_duplicate"]
    assert original.stem in pair
    assert "seed 0, fold" in pair


def test_a_copy_without_an_official_name_is_found_but_in_no_split(slides):
    original = first_of(slides, "DC")
    shutil.copy(original, slides / "scan.png")
    report = audit_folder(slides)
    assert report.unparsed == ("scan.png",)
    assert [set(group.images) for group in report.identical] == [{original.stem, "scan.png"}]
    assert division(report, "paper-random").shared["identical"] == ()


def test_near_duplicates_without_official_names_are_in_no_split(slides):
    picture = np.concatenate([decode_full_size(first_of(slides, "DC")).numpy()] * 2, axis=1)
    write(slides / "scan.png", picture)
    write(slides / "scan.jpg", picture, encode_jpeg)
    report = audit_folder(slides)
    assert [set(pair.images) for pair in report.near_duplicates] == [{"scan.jpg", "scan.png"}]
    assert division(report, "paper-random").shared["near_duplicate"] == ()


def test_a_slide_in_both_classes_is_found(slides):
    benign = first_of(slides, "A")
    number = benign.stem.split("-")[2]
    moved = first_of(slides, "DC")
    moved.rename(renamed(moved, slide=number))
    (double,) = audit_folder(slides).double_slides
    assert double.name == f"14-{number}"
    assert double.slides == (f"A 14-{number}", f"DC 14-{number}")
    assert double.classes == ("benign", "malignant")


def test_odd_pictures_are_named(slides):
    paths = sorted(image_files(slides), key=lambda path: path.stem)
    empty, dark, small = paths[0], paths[1], paths[2]
    write(empty, np.full((3, 32, 49), 240, np.uint8))
    write(dark, decode_full_size(dark).numpy() // 8)
    write(small, decode_full_size(small).numpy()[:, :, :40])
    report = audit_folder(slides)
    assert [low.image for low in report.low_tissue] == [empty.stem]
    assert report.stain_outliers[0].image == dark.stem
    assert [(size.width, size.images) for size in report.sizes] == [(49, ()), (40, (small.stem,))]


def test_a_file_in_two_folders_is_looked_at_once(slides):
    original = first_of(slides, "DC")
    (slides / "again").mkdir()
    shutil.copy(original, slides / "again")
    report = audit_folder(slides)
    assert len(report.repeated) == 1
    assert report.n_images == 144
    assert report.identical == ()


def test_few_images_cannot_be_divided_but_are_looked_at(phantom, tmp_path):
    for path in sorted(image_files(phantom))[:8]:
        shutil.copy(path, tmp_path)
    report = audit_folder(tmp_path)
    assert report.n_images == 8
    assert "too few groups" in division(report, "holdout").refused
    assert "cannot be made here: too few groups" in render_audit(report)


def test_only_damaged_images(tmp_path, phantom):
    (tmp_path / first_of(phantom, "DC").name).write_bytes(b"")
    report = audit_folder(tmp_path)
    assert [reason for _, reason in report.damaged] == ["the file is empty"]
    assert report.sizes == ()
    assert "the file is empty" in render_audit(report)


def test_damaged_images_end_with_3_after_the_report(slides, harness):
    path = first_of(slides, "DC")
    path.write_bytes(path.read_bytes()[:100])
    code, out, err = harness("data", "audit", slides)
    assert code == 3
    assert f"{path.stem}: the PNG is cut short after 100 bytes" in out
    assert "| accession-5fold |" in out
    assert "1 damaged images" in err


def test_the_report_for_programs(phantom, harness):
    code, out, _ = harness("data", "audit", phantom, "--json", "--seed", 3)
    report = json.loads(out)
    assert code == 0
    assert (report["schema_version"], report["data_set"]["name"], report["seed"]) == (5, "breakhis", 3)
    assert report["limits"]["max_differing_bits"] == 12
    assert report["divided_groups"][0]["slides"] == ["A 14-10003A", "A 14-10003B"]
    assert [split["name"] for split in report["divisions"]] == list(PROTOCOLS)


def test_the_report_for_people_starts_with_a_summary(phantom, harness):
    code, out, _ = harness("data", "audit", phantom)
    assert code == 0
    assert "breakhis: 144 images, 21 slides (counted once a tumour type), 18 accessions" in out
    cells = [[cell.strip() for cell in line.split("|")[1:4]] for line in out.splitlines() if line.startswith("|")]
    assert ["groups of pixel-identical images", "0", "0 of them between slides"] in cells
    assert ["accessions of several slides", "3", "24 images, 16.7 %"] in cells


def test_many_examples_are_cut_short(slides):
    for number, path in enumerate(sorted(image_files(slides))[:7]):
        shutil.copy(path, slides / f"scan {number}.png")
    text = render_audit(audit_folder(slides))
    assert "## Groups of pixel-identical images: 7" in text
    assert "- and 2 more" in text


def test_a_file_name_cannot_pass_for_markup(slides):
    shutil.copy(first_of(slides, "DC"), slides / "\x1b[31m|`<b>`.png")
    text = render_audit(audit_folder(slides))
    assert " \\[31m\\|\\`\\<b\\>\\`.png" in text
    assert "\x1b" not in text


def test_a_folder_of_something_else(tmp_path, harness):
    write(tmp_path / "holiday.png", np.zeros((3, 4, 4), np.uint8))
    code, _, err = harness("data", "audit", tmp_path)
    assert code == 3
    assert "1 image files, none with a name like SOB_B_A-14-22549AB-40-001" in err
    assert "groups.csv" in err
    assert harness("data", "audit", tmp_path / "missing")[0] == 3


@pytest.fixture(scope="module")
def real_slides():
    return audit_folder(real("breakhis"))


@pytest.mark.long
def test_real_slides(real_slides):
    report = real_slides
    assert len(report.identical) == 15
    assert {group.origins for group in report.identical} == {("DC 14-13412", "LC 14-13412")}
    assert [slide.name for slide in report.double_slides] == ["14-13412"]
    # one more pair of 13412, re-encoded apart, and three fields that were photographed twice
    assert len(report.near_duplicates) == 4
    assert [low.image for low in report.low_tissue] == ["SOB_M_DC-14-2985-200-004"]
    assert len(division(report, "official5").shared["identical"]) == 15
    text = render_audit(report)
    assert "Between slides: DC 14-13412 and LC 14-13412 at 100x: 15." in text
    assert "SOB_M_DC-14-13412-100-001 = SOB_M_LC-14-13412-100-001" in text


def scores(report, colours):
    return {score.stratum: score.auc for score in report.properties if (score.name, score.colours) == colours}


@pytest.mark.usefixtures("with_shortcuts")
@pytest.mark.long
def test_a_light_that_tells_the_class_is_found_and_taken_out(slides):
    for path in image_files(slides):
        if "_B_" in path.stem:
            pixels = decode_full_size(path).numpy().astype(float)
            write(path, (pixels * np.array([0.85, 0.97, 0.85])[:, None, None]).astype(np.uint8))
    report = audit_folder(slides)
    assert min(scores(report, ("white point", "file")).values()) > 0.95
    assert max(scores(report, ("white point", "white-balance")).values()) < 0.85
    strongest = next(line for line in render_audit(report).splitlines() if line.startswith("The strongest property"))
    assert strongest.count("AUC 1.00") == 4
    assert [f"{at}x " in strongest for at in (40, 100, 200, 400)] == [True] * 4
    assert strongest.index("40x") < strongest.index("100x")
    json.dumps(report.to_json())


def test_what_stain_normalisation_does_is_counted_by_class(clean):
    counted = {(outcome.method, outcome.label): outcome.images for outcome in clean.stains}
    assert set(counted) == {
        (method, label)
        for method in ("none", "macenko", "published", "reinhard", "white-balance", "slide", "fitted")
        for label in (0, 1)
    }
    assert not any(outcome.swapped for outcome in clean.stains if outcome.method != "published")
    assert not any(outcome.dark_backgrounds for outcome in clean.stains if outcome.method == "white-balance")


@pytest.mark.usefixtures("with_shortcuts")
@pytest.mark.long
def test_pictures_of_whites_and_stains(phantom, tmp_path):
    audit_folder(phantom, figures=tmp_path / "figures")
    for name in ("whites.png", "stains.png"):
        assert decode_full_size(tmp_path / "figures" / name).shape[0] == 3


@pytest.mark.long
def test_the_white_point_of_real_images(real_slides):
    report = real_slides
    found = scores(report, ("white point", "file"))
    assert found["100x"] > 0.75
    assert found["200x"] > 0.9
    dark = {
        outcome.method: outcome.dark_backgrounds / outcome.images for outcome in report.stains if outcome.label == 0
    }
    assert dark["published"] > 0.5
    assert dark["white-balance"] <= 0.03
