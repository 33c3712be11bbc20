import pandas as pd
import pytest
from breakhis import BREAKHIS, PROTOCOLS, official_table
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SplitError, SplitLeakError
from harness.protocol.fingerprint import describe_splits, groups_on_two_sides, split_fingerprint
from harness.protocol.group_assignment import assign_groups
from harness.protocol.leak_gate import find_leak, find_picture_leak, pass_gate
from harness.protocol.protocols import split_images


def accession_of(images):
    return images.set_index("name")["group"]


@st.composite
def image_sets(draw):
    """Any data set with at least five accessions of each class, of any sizes."""
    sizes = [draw(st.lists(st.integers(1, 6), min_size=5, max_size=14)) for _ in range(2)]
    rows = [
        (f"{label}-{group}-{image}", f"{label}-{group}", label, "40x")
        for label, groups in enumerate(sizes)
        for group, size in enumerate(groups)
        for image in range(size)
    ]
    images = pd.DataFrame(rows, columns=["name", "group", "label", "stratum"])
    return images.assign(subgroup=images["group"] + "A", subtype=images["label"].map({0: "A", 1: "DC"}))


@settings(max_examples=40, deadline=None)
@given(image_sets(), st.integers(0, 99), st.sampled_from(["accession-5fold", "slide-5fold", "holdout"]))
def test_a_split_never_leaks_and_fills_every_side(images, seed, name):
    splits = split_images(PROTOCOLS[name], images, (seed,))
    assert find_leak("group", splits, accession_of(images)) is None
    assert find_leak("group", splits, accession_of(images).iloc[:1]) is None  # of the others nothing is known
    table = splits.merge(images, left_on="image", right_on="name")
    assert (table.groupby(["fold", "label"])["side"].nunique() == 3).all()
    assert (splits.groupby("fold")["image"].nunique() == len(images)).all()


@settings(max_examples=20, deadline=None)
@given(image_sets())
def test_cross_validation_tests_every_image_once(images):
    splits = split_images(PROTOCOLS["accession-5fold"], images, (0,))
    assert sorted(splits.loc[splits["side"] == "test", "image"]) == sorted(images["name"])


@settings(max_examples=20, deadline=None)
@given(image_sets(), st.randoms())
def test_the_order_of_the_manifest_does_not_matter(images, random):
    shuffled = images.sample(frac=1, random_state=random.randrange(1000))
    one, two = (split_images(PROTOCOLS["accession-5fold"], table, (3,)) for table in (images, shuffled))
    assert split_fingerprint(one) == split_fingerprint(two)


def test_official_accessions(official_images):
    splits = split_images(PROTOCOLS["accession-5fold"], official_images, (0,))
    counts = describe_splits(splits, official_images, BREAKHIS)
    test = counts[counts["side"] == "test"]
    assert test["accessions"].sum() == 70
    assert set(test["benign_accessions"]) <= {3, 4}
    assert set(test["malignant_accessions"]) <= {10, 11}


def test_the_published_division_is_pinned(official_images):
    """A fingerprint that changes silently would make old and new results incomparable."""
    splits = split_images(PROTOCOLS["accession-5fold"], official_images, (0,))
    assert split_fingerprint(splits).startswith(PINNED)


PINNED = "22c9f3826950e40a"


@pytest.mark.parametrize(
    ("keep", "images", "groups"),
    [
        (True, [2904, 2403, 2577, 2698, 3083], [28, 28, 28, 28, 28]),
        (False, [2904, 2403, 2454, 2698, 2960], [28, 28, 27, 28, 27]),
    ],
)
def test_official_hold_outs(official_images, keep, images, groups):
    table = official_table().reset_index() if keep else official_images
    splits = split_images(PROTOCOLS["official5"], table, (0,))
    test = describe_splits(splits, table, BREAKHIS).query("side == 'test'")
    assert test["images"].tolist() == images
    assert test["slides"].tolist() == groups


def test_both_copies_of_13412_are_stopped_at_the_gate():
    table = official_table().reset_index()
    splits = split_images(PROTOCOLS["official5"], table, (0,))
    leak = find_leak("subgroup", splits, table.set_index("name")["subgroup"])
    assert [offender.split()[0] for offender in leak.offenders] == ["14-13412"]
    with pytest.raises(SplitLeakError, match="14-13412"):
        pass_gate([leak], allow_leak=False)


def test_the_paper_split_leaks(official_images):
    splits = split_images(PROTOCOLS["paper-random"], official_images, (0,))
    shares = splits["side"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.7, abs=0.01)
    assert shares["test"] == pytest.approx(0.2, abs=0.01)
    assert groups_on_two_sides(splits, official_images) == 70


def test_slides_apart_leave_groups_on_two_sides(official_images):
    splits = split_images(PROTOCOLS["slide-5fold"], official_images, (0,))
    assert find_leak("subgroup", splits, official_images.set_index("name")["subgroup"]) is None
    assert groups_on_two_sides(splits, official_images) > 0


def test_a_seed_of_official5_changes_only_the_validation_cut(official_images):
    one, two = (split_images(PROTOCOLS["official5"], official_images, (seed,)) for seed in (0, 1))
    merged = one.merge(two, on=["image", "fold"])
    assert ((merged["side_x"] == "test") == (merged["side_y"] == "test")).all()
    assert (merged["side_x"] != merged["side_y"]).any()


def test_too_few_groups():
    images = pd.DataFrame({"g": list("abcdefgh"), "s": ["benign"] * 4 + ["malignant"] * 4})
    with pytest.raises(SplitError, match="4 of benign, 4 of malignant"):
        assign_groups(images["g"], images["s"], 0, range(5))


def test_equal_pictures_on_two_sides_are_found():
    splits = pd.DataFrame({"image": ["a", "b"], "fold": 0, "seed": 0, "side": ["train", "test"]})
    leak = find_picture_leak(splits, pd.Series({"a": "same", "b": "same"}))
    assert "a = b" in str(leak)
    assert find_picture_leak(splits, pd.Series({"a": "one", "b": "other"})) is None
