"""Copies are found whatever was done to them, and nothing else is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.io import ImageReadMode, decode_image, encode_jpeg

from harness.data.decode import decode_full_size
from harness.data.manifest import image_files
from harness.data.near_duplicates import (
    SYMMETRIES,
    find_near_duplicates,
    group_identical,
    perceptual_hashes,
    thumbnail,
    turn,
    turn_hashes,
)
from harness.synthetic.sources import write_synthetic_lung

symmetries = st.sampled_from(SYMMETRIES)


def described(names, origins=None, contents=None):
    names = list(names)
    return pd.DataFrame({"image": names, "origin": origins or names, "content": contents or names})


def near(images):
    """Search images (name -> uint8 (3, H, W)), each of an origin of its own."""
    thumbnails = np.stack([thumbnail(torch.from_numpy(np.ascontiguousarray(image))) for image in images.values()])
    return find_near_duplicates(described(images), thumbnails)


def reencoded(image, quality=50):
    encoded = encode_jpeg(torch.from_numpy(np.ascontiguousarray(image)), quality=quality)
    return decode_image(encoded, mode=ImageReadMode.RGB).numpy()


@pytest.fixture(scope="module")
def pictures(phantom):
    """Twelve pictures of as many accessions."""
    paths = sorted(image_files(phantom), key=lambda path: path.name)[::12][:12]
    return {path.stem: decode_full_size(path).numpy() for path in paths}


@given(st.integers(0, 2**32 - 1), st.integers(1, 256), symmetries)
def test_the_hash_of_a_turned_image_follows_from_its_own(seed, levels, symmetry):
    thumbnails = np.random.default_rng(seed).integers(0, levels, (3, 3, 32, 32), dtype=np.uint8)
    turned = perceptual_hashes(turn(thumbnails, symmetry))
    assert np.array_equal(turned, turn_hashes(perceptual_hashes(thumbnails), symmetry))


@given(symmetries, st.integers(1, 7), st.integers(1, 7))
def test_symmetries_rearrange_pixels(symmetry, height, width):
    pixels = np.arange(3 * height * width).reshape(3, height, width)
    turned = turn(pixels, symmetry)
    assert turned.shape == (3, width, height) if symmetry.transposes else pixels.shape
    assert np.array_equal(np.sort(turned, axis=None), np.sort(pixels, axis=None))


def test_symmetries_are_what_their_names_say():
    pixels = np.arange(16).reshape(4, 4)
    turned = {symmetry.name: turn(pixels, symmetry) for symmetry in SYMMETRIES}
    assert len({array.tobytes() for array in map(np.ascontiguousarray, turned.values())}) == 8
    for quarters in (1, 2, 3):
        assert np.array_equal(turned[f"turned by {90 * quarters} degrees"], np.rot90(pixels, quarters))
    assert np.array_equal(turned["mirrored left to right"], np.fliplr(pixels))
    assert np.array_equal(turned["mirrored top to bottom"], np.flipud(pixels))
    assert np.array_equal(turned["mirrored at the main diagonal"], pixels.T)
    assert np.array_equal(turned["mirrored at the other diagonal"], np.rot90(pixels, 2).T)


@pytest.mark.parametrize("symmetry", SYMMETRIES, ids=lambda symmetry: symmetry.name)
def test_a_turned_and_reencoded_copy_is_found(pictures, symmetry):
    name = next(iter(pictures))
    found = near({"copy": reencoded(turn(pictures[name], symmetry)), **pictures})
    assert [(pair.images, pair.symmetry) for pair in found] == [(("copy", name), symmetry.name)]
    assert found[0].differing_bits <= 6
    assert found[0].correlation > 0.95


def test_brightness_and_size_do_not_hide_a_copy(pictures):
    name, image = next(iter(pictures.items()))
    brighter = np.clip(image * 1.08, 0, 255).astype(np.uint8)
    larger = image.repeat(2, axis=1).repeat(2, axis=2)
    found = near({"brighter": brighter, "larger": larger, **pictures})
    assert {pair.images for pair in found} == {("brighter", "larger"), ("brighter", name), ("larger", name)}


def test_pictures_of_one_accession_are_not_copies(phantom):
    paths = list(image_files(phantom))
    assert near({path.stem: decode_full_size(path).numpy() for path in paths}) == ()


def test_the_turned_copies_of_lung_tiles_are_found_and_no_others(tmp_path):
    write_synthetic_lung(tmp_path / "lung", tiles=8, copies=3)
    tiles = pd.read_csv(tmp_path / "lung" / "groups.csv").set_index("path")["tile"]
    images = {path: decode_full_size(tmp_path / "lung" / Path(path)).numpy() for path in tiles.index}
    found = near(images)
    assert len(found) == 3 * 8 * 3  # classes, tiles, pairs of three copies
    assert all(tiles[pair.images[0]] == tiles[pair.images[1]] for pair in found)


def test_flat_images_are_like_nothing():
    rng = np.random.default_rng(0)
    flat = {str(level): np.full((3, 64, 64), level, np.uint8) for level in (0, 128, 255)}
    pale = {f"pale {n}": rng.integers(250, 256, (3, 64, 64), dtype=np.uint8) for n in range(4)}
    assert near({**flat, **pale}) == ()


def test_pixel_identical_images_are_no_near_duplicates(pictures):
    image = thumbnail(torch.from_numpy(next(iter(pictures.values()))))
    thumbnails = np.stack([image, image, image])
    images = described("abc", origins=["x", "y", "y"], contents=["one", "one", "other"])
    assert [group.images for group in group_identical(images)] == [("a", "b")]
    assert [pair.images for pair in find_near_duplicates(images, thumbnails)] == [("a", "c"), ("b", "c")]


def test_copies_between_origins_come_first():
    images = described("abcd", origins=["x", "x", "y", "z"], contents=["1", "1", "2", "2"])
    assert [group.origins for group in group_identical(images)] == [("y", "z"), ("x",)]


def test_no_images():
    assert find_near_duplicates(described([]), np.empty((0, 3, 32, 32), np.uint8)) == ()
    assert group_identical(described([])) == ()
